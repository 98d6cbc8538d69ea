"""How to read one value per patch off the projections of an attention block (MixPro, eq. 1 to 4)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from mixpro_mm.labeling.grid import Patches, token_grid

__all__ = ['READINGS', 'AttentionBlock', 'class_heads', 'class_row', 'query_mean']

PROJECTIONS = (('qkv',), ('q', 'kv'), ('q', 'k'))


class AttentionBlock(NamedTuple):
    """An attention module with ``prefix_tokens`` tokens before the patches, and which of READINGS is wanted of it.

    The reading 'class' takes row 0 for the class token. ``patches`` are those of the model, None if they are unknown.
    """

    attn: nn.Module
    prefix_tokens: int
    reading: str = 'class'
    patches: Patches | None = None

    @property
    def projections(self) -> tuple[str, ...]:
        """Names of the linear layers that yield q and k: ('qkv',), ('q', 'kv') or ('q', 'k'); () if there are none."""
        found = (p for p in PROJECTIONS if all(isinstance(getattr(self.attn, n, None), nn.Module) for n in p))
        return next(found, ())

    def read(self, outputs: dict[str, Tensor]) -> Tensor:
        """(B, N) fp32 without gradient, from what the projections gave, see :func:`class_row`."""
        return READINGS[self.reading](self, outputs)

    def grid(self, tokens: int, size: tuple[int, int]) -> tuple[int, int]:
        """(h, w) of the patches, as of :func:`mixpro_mm.labeling.grid.token_grid`."""
        return token_grid(tokens, size, self.patches)


def class_row(block: AttentionBlock, outputs: dict[str, Tensor]) -> Tensor:
    """Attention of the class token to the patches: softmax over all keys, mean over heads, patches only (eq. 1 to 4).

    Args:
        block: Where the projections come from.
        outputs: What its projections gave: 'qkv' (B, T, 3 C); or 'q' (B, T or 1, C) or (B, C), with 'kv' (B, T, 2 C)
            or 'k' (B, T, C), T tokens in all.

    Returns:
        (B, N) fp32 without gradient, N patches; a row sums to one less what the class token pays to other tokens.
    """
    return _class_rows(block, outputs).mean(dim=1)[:, block.prefix_tokens :]


def class_heads(block: AttentionBlock, outputs: dict[str, Tensor]) -> Tensor:
    """(B, heads, N) fp32 without gradient: what each head adds to :func:`class_row`."""
    return _class_rows(block, outputs)[..., block.prefix_tokens :]


def query_mean(block: AttentionBlock, outputs: dict[str, Tensor]) -> Tensor:
    """Attention of all patches to each patch, mean over heads and queries; needs no class token.

    Chen et al., SMMix, ICCV 2023. The softmax runs over all keys; tokens before the patches count neither as queries
    nor as patches.

    Args:
        block: Where the projections come from.
        outputs: As of :func:`class_row`, with every token's query.

    Returns:
        (B, N) fp32 without gradient; a row sums to one less what the patches pay to other tokens.

    Raises:
        ValueError: if the patches ask nothing here.
    """
    query, key = _query_and_key(block, outputs)
    if query.ndim == 2 or query.shape[1] <= block.prefix_tokens:
        raise ValueError(
            f'{type(block.attn).__name__} takes queries from the class token only, so its attention has no mean over '
            f"patches: read it with reading='class', or name another module"
        )
    with torch.no_grad(), torch.autocast(key.device.type, enabled=False):
        key = _heads(block.attn, 'k_norm', key)
        scale, bias = _scale(block.attn, key), _position_bias(block.attn, key.shape[1])
        key, queries = key.permute(0, 2, 3, 1).contiguous(), query[:, block.prefix_tokens :]  # (B, heads, d, T)
        total, start = key.new_zeros(len(key), key.shape[3]), block.prefix_tokens
        # As many queries at once as a head has channels: their attention, (B, heads, d, T), is as large as the keys, so
        # no tensor here outgrows them however many tokens there are, as the map of all queries would.
        for chunk in queries.split(key.shape[2], dim=1):
            logits = _heads(block.attn, 'q_norm', chunk).transpose(1, 2) * scale @ key
            if bias is not None:
                logits += bias[:, start : start + chunk.shape[1]]
            total += logits.softmax(dim=-1).sum(dim=(1, 2))
            start += chunk.shape[1]
        return total[:, block.prefix_tokens :] / (queries.shape[1] * key.shape[1])


READINGS = {'class': class_row, 'query_mean': query_mean}


def _class_rows(block: AttentionBlock, outputs: dict[str, Tensor]) -> Tensor:
    """(B, heads, T) of the class token, to every token."""
    query, key = _query_and_key(block, outputs)
    query = query if query.ndim == 2 else query[:, 0]
    with torch.no_grad(), torch.autocast(key.device.type, enabled=False):
        query, key = _heads(block.attn, 'q_norm', query), _heads(block.attn, 'k_norm', key)
        logits = torch.einsum('bhd,bthd->bht', query, key) * _scale(block.attn, key)
        if (bias := _position_bias(block.attn, key.shape[1])) is not None:
            logits += bias[:, 0]
        return logits.softmax(dim=-1)


def _query_and_key(block: AttentionBlock, outputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    packed = next(value for name, value in outputs.items() if name != 'q')
    width = packed.shape[-1] // {'qkv': 3, 'kv': 2, 'k': 1}[block.projections[-1]]
    key = packed[..., width : 2 * width] if 'qkv' in outputs else packed[..., :width]
    return outputs.get('q', packed)[..., :width], key


def _heads(attn: nn.Module, norm: str, projected: Tensor) -> Tensor:
    """(..., C) -> (..., heads, d) in fp32, normalised if the module does so, over each head or over all channels."""
    module = getattr(attn, norm, None) or nn.Identity()
    dtype = next((parameter.dtype for parameter in module.parameters()), torch.float32)  # bf16 under FSDP
    shape = getattr(module, 'normalized_shape', None)
    if shape is not None and tuple(shape)[-1] == projected.shape[-1]:
        projected = module(projected.to(dtype))
        module = nn.Identity()
    return module(projected.to(dtype).unflatten(-1, (attn.num_heads, -1))).float()


def _scale(attn: nn.Module, key: Tensor) -> float:
    scale = getattr(attn, 'scale', None)
    return scale if isinstance(scale, float) else key.shape[-1] ** -0.5


def _position_bias(attn: nn.Module, tokens: int) -> Tensor | None:
    """(heads, T, T) what a window of Swin adds to its logits; None for other attention."""
    table = getattr(attn, 'relative_position_bias_table', None)
    if table is None:
        return None
    return table.float()[attn.relative_position_index.flatten()].unflatten(0, (tokens, tokens)).permute(2, 0, 1)
