"""Read one value per patch from the projections of an attention block (MixPro, eq. 1 to 4)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from mixpro_mm.labeling.grid import Patches, token_grid

__all__ = ['READINGS', 'AttentionBlock', 'class_row', 'query_mean']

PROJECTIONS = (('qkv',), ('q', 'kv'), ('q', 'k'))


class AttentionBlock(NamedTuple):
    """An attention module, its number of tokens before the patches, and its reading, a key of READINGS.

    With 'class', row 0 is the class token. ``patches`` are those of the model, None if unknown.
    """

    attn: nn.Module
    prefix_tokens: int
    reading: str = 'class'
    patches: Patches | None = None

    @property
    def projections(self) -> tuple[str, ...]:
        """Return the names of the linear layers of q and k: ('qkv',), ('q', 'kv'), ('q', 'k') or ()."""
        found = (p for p in PROJECTIONS if all(isinstance(getattr(self.attn, n, None), nn.Module) for n in p))
        return next(found, ())

    def grid(self, tokens: int, size: tuple[int, int]) -> tuple[int, int]:
        """Return (h, w) of the patches, see :func:`mixpro_mm.labeling.grid.token_grid`."""
        return token_grid(tokens, size, self.patches)


def class_row(block: AttentionBlock, outputs: dict[str, Tensor], head: int | None = None) -> Tensor:
    """Return the attention of the class token to the patches, softmax over all keys (eq. 1 to 4).

    Args:
        block: The attention block.
        outputs: Outputs of its projections: 'qkv' (B, T, 3 C); or 'q' (B, T or 1, C) or (B, C), with 'kv' (B, T, 2 C)
            or 'k' (B, T, C), T tokens in all.
        head: Index of a head; None for the mean over heads.

    Returns:
        (B, N) fp32 without gradient, N patches; a row sums to one minus the attention to other tokens.
    """
    query, key, scale = _projected(block, outputs)
    query = query if query.ndim == 2 else query[:, 0]
    with torch.no_grad(), torch.autocast(key.device.type, enabled=False):
        query, key = _heads(block.attn, 'q_norm', query), _heads(block.attn, 'k_norm', key)
        logits = torch.einsum('bhd,bthd->bht', query, key) * scale
        if (bias := _position_bias(block.attn, key.shape[1])) is not None:
            logits += bias[:, 0]
        rows = logits.softmax(dim=-1)
        return (rows.mean(dim=1) if head is None else rows[:, head])[:, block.prefix_tokens :]


def query_mean(block: AttentionBlock, outputs: dict[str, Tensor]) -> Tensor:
    """Return the attention of all patches to each patch, mean over heads and queries (Chen et al., SMMix, ICCV 2023).

    The softmax covers all keys; tokens before the patches count neither as queries nor as patches.

    Args:
        block: The attention block.
        outputs: See :func:`class_row`; with the query of every token.

    Returns:
        (B, N) fp32 without gradient; a row sums to one minus the attention to other tokens.

    Raises:
        ValueError: If the patches have no queries.
    """
    query, key, scale = _projected(block, outputs)
    if query.ndim == 2 or query.shape[1] <= block.prefix_tokens:
        raise ValueError(
            f"{type(block.attn).__name__} has a query of the class token only: use reading='class' or another module"
        )
    with torch.no_grad(), torch.autocast(key.device.type, enabled=False):
        key, bias = _heads(block.attn, 'k_norm', key), _position_bias(block.attn, key.shape[1])
        key, queries = key.permute(0, 2, 3, 1).contiguous(), query[:, block.prefix_tokens :]  # (B, heads, d, T)
        total, start = key.new_zeros(len(key), key.shape[3]), block.prefix_tokens
        # chunks of d queries, so that their attention (B, heads, d, T) is never larger than the keys
        for chunk in queries.split(key.shape[2], dim=1):
            logits = _heads(block.attn, 'q_norm', chunk).transpose(1, 2) * scale @ key
            if bias is not None:
                logits += bias[:, start : start + chunk.shape[1]]
            total += logits.softmax(dim=-1).sum(dim=(1, 2))
            start += chunk.shape[1]
        return total[:, block.prefix_tokens :] / (queries.shape[1] * key.shape[1])


READINGS = {'class': class_row, 'query_mean': query_mean}


def _projected(block: AttentionBlock, outputs: dict[str, Tensor]) -> tuple[Tensor, Tensor, float]:
    """Return q (..., C), k (B, T, C) and the factor of their product."""
    packed = next(value for name, value in outputs.items() if name != 'q')
    width = packed.shape[-1] // {'qkv': 3, 'kv': 2, 'k': 1}[block.projections[-1]]
    key = packed[..., width : 2 * width] if 'qkv' in outputs else packed[..., :width]
    scale = getattr(block.attn, 'scale', None)
    scale = scale if isinstance(scale, float) else (width // block.attn.num_heads) ** -0.5
    return outputs.get('q', packed)[..., :width], key, scale


def _heads(attn: nn.Module, norm: str, projected: Tensor) -> Tensor:
    """Return (..., heads, d) in fp32 of (..., C), normalised over each head or over all channels as in the module."""
    module = getattr(attn, norm, None) or nn.Identity()
    dtype = next((parameter.dtype for parameter in module.parameters()), torch.float32)  # bf16 under FSDP
    projected, shape = projected.to(dtype), getattr(module, 'normalized_shape', (0,))
    if shape[-1] == projected.shape[-1]:
        return module(projected).unflatten(-1, (attn.num_heads, -1)).float()
    return module(projected.unflatten(-1, (attn.num_heads, -1))).float()


def _position_bias(attn: nn.Module, tokens: int) -> Tensor | None:
    """Return the (heads, T, T) position bias of a Swin window, None for other attention."""
    table = getattr(attn, 'relative_position_bias_table', None)
    if table is None:
        return None
    return table.float()[attn.relative_position_index.flatten()].unflatten(0, (tokens, tokens)).permute(2, 0, 1)
