"""Where the attention of the last block lives, and how to read one value per patch off it (MixPro, eq. 1 to 4)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from mixpro_mm.anatomy import Anatomy, anatomy_of, find_backbone, known_backbones

__all__ = [
    'READINGS',
    'AttentionBlock',
    'class_heads',
    'class_row',
    'find_attention_block',
    'parse_attention',
    'query_mean',
    'token_grid',
]

PROJECTIONS = (('qkv',), ('q', 'kv'), ('q', 'k'))
DEVIATIONS = {  # attribute -> what a module that has it does to q and k, beyond what is read here
    'rope': 'rotates q and k after their projections',
    'logit_scale': 'compares q and k by their cosine',
    'proj_l': 'mixes its heads',
    'lambda_init': 'takes the difference of two attentions',
}


class AttentionBlock(NamedTuple):
    """An attention module with ``prefix_tokens`` tokens before the patches, and which of READINGS is wanted of it.

    The reading 'class' takes row 0 for the class token.
    """

    attn: nn.Module
    prefix_tokens: int
    reading: str = 'class'

    @property
    def projections(self) -> tuple[str, ...]:
        """Names of the linear layers that yield q and k: ('qkv',), ('q', 'kv') or ('q', 'k'); () if there are none."""
        found = (p for p in PROJECTIONS if all(isinstance(getattr(self.attn, n, None), nn.Module) for n in p))
        return next(found, ())

    def read(self, outputs: dict[str, Tensor]) -> Tensor:
        """(B, N) fp32 without gradient, from what the projections gave, see :func:`class_row`."""
        return READINGS[self.reading](self, outputs)


def parse_attention(attention: str | dict | None) -> tuple[str, str | None]:
    """(reading, path) a user asked for.

    Args:
        attention: None for the class row of a known model's last block; 'query_mean' (or 'class') for that reading of
            it; the dotted name of an attention module for the class row there; or ``dict(reading=..., path=...)``.

    Raises:
        ValueError: for an unknown reading or key, with the known ones.
        TypeError: for anything else.
    """
    if attention is None:
        return 'class', None
    if isinstance(attention, str):
        return (attention, None) if attention in READINGS else ('class', attention)
    if not isinstance(attention, dict) or not isinstance(attention.get('path'), str | None):
        raise TypeError(f'attention must be a reading, a path, or dict(reading=..., path=...), got {attention!r}')
    if unknown := sorted(set(attention) - {'reading', 'path'}):
        raise ValueError(f'attention has no key {unknown[0]!r}; known: path, reading')
    reading = attention.get('reading', 'class')
    if reading not in list(READINGS):
        raise ValueError(f'attention reading {reading!r} is unknown; known: {", ".join(sorted(READINGS))}')
    return reading, attention.get('path')


def find_attention_block(model: nn.Module, attention: str | dict | None = None) -> AttentionBlock:
    """The last attention block of a model, or the one that is named.

    Args:
        model: A classifier of mmpretrain (ImageClassifier, TimmClassifier) or a backbone.
        attention: As of :func:`parse_attention`. A path leads to an attention module inside ``model``, for models not
            known here; it needs ``num_heads`` and linear layers ``qkv``, ``q`` and ``kv``, or ``q`` and ``k``.

    Raises:
        ValueError: if the reading is unknown, the path leads nowhere, or the model has no such attention known here.
        TypeError: if ``attention`` is of another kind.
    """
    reading, path = parse_attention(attention)
    wanted = 'class attention' if reading == 'class' else 'attention'
    backbone = find_backbone(model)
    anatomy = anatomy_of(backbone)
    if path is not None:
        try:
            attn = model.get_submodule(path)
        except AttributeError as error:
            raise ValueError(
                f'attention path {path!r} leads nowhere in {type(model).__name__}: {error}; '
                f'known by name are only the readings {", ".join(sorted(READINGS))}'
            ) from None
    elif anatomy is None:
        example = "'path.to.attn'" if reading == 'class' else f"dict(reading='{reading}', path='path.to.attn')"
        raise ValueError(
            f'{type(backbone).__name__} has no {wanted} known here ({known_backbones()}); '
            f'name its last attention module with attention={example}, or train on area labels with MaskMix'
        )
    elif reading == 'class' and getattr(backbone, 'cls_token', None) is None:
        raise ValueError(
            f'{type(backbone).__name__} was built without a class token, so it has no class attention; '
            f"attention='query_mean' reads the mean over its patches instead"
        )
    else:
        attn = anatomy.last_block(backbone).attn
    block = AttentionBlock(attn, _prefix_tokens(backbone, anatomy, attn, reading), reading)
    place = path or 'the last block'
    if not block.projections or not hasattr(attn, 'num_heads'):
        raise ValueError(
            f'{type(attn).__name__} at {place} offers no {wanted}: '
            f'it needs num_heads and linear layers qkv, q and kv, or q and k'
        )
    if deviation := next((DEVIATIONS[name] for name in DEVIATIONS if getattr(attn, name, None) is not None), None):
        raise ValueError(
            f'{type(attn).__name__} at {place} {deviation}, so its {wanted} cannot be read from the projections'
        )
    return block


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


def token_grid(tokens: int, size: tuple[int, int]) -> tuple[int, int]:
    """(h, w) of the square patches that cover an image, from their number.

    Args:
        tokens: N, patches in all.
        size: (H, W) of the image; a last partial patch may be padded (mmcv, PVT) or dropped (timm).

    Raises:
        ValueError: if no square patch gives that number.
    """
    for up in (1, 0):
        for patch in range(1, max(size) + 1):
            grid = tuple((length + up * (patch - 1)) // patch for length in size)
            if grid[0] * grid[1] == tokens:
                return grid
    raise ValueError(f'{tokens} patch tokens do not cover an input of {size[0]}x{size[1]} pixels with square patches')


def _class_rows(block: AttentionBlock, outputs: dict[str, Tensor]) -> Tensor:
    """(B, heads, T) of the class token, to every token."""
    query, key = _query_and_key(block, outputs)
    query = query if query.ndim == 2 else query[:, 0]
    with torch.no_grad(), torch.autocast(key.device.type, enabled=False):
        query, key = _heads(block.attn, 'q_norm', query), _heads(block.attn, 'k_norm', key)
        return (torch.einsum('bhd,bthd->bht', query, key) * _scale(block.attn, key)).softmax(dim=-1)


def _query_and_key(block: AttentionBlock, outputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    packed = next(value for name, value in outputs.items() if name != 'q')
    width = packed.shape[-1] // {'qkv': 3, 'kv': 2, 'k': 1}[block.projections[-1]]
    key = packed[..., width : 2 * width] if 'qkv' in outputs else packed[..., :width]
    return outputs.get('q', packed)[..., :width], key


def _heads(attn: nn.Module, norm: str, projected: Tensor) -> Tensor:
    """(..., C) -> (..., heads, d) in fp32, normalised if the module does so."""
    return getattr(attn, norm, nn.Identity())(projected.float().unflatten(-1, (attn.num_heads, -1)))


def _scale(attn: nn.Module, key: Tensor) -> float:
    scale = getattr(attn, 'scale', None)
    return scale if isinstance(scale, float) else key.shape[-1] ** -0.5


def _position_bias(attn: nn.Module, tokens: int) -> Tensor | None:
    """(heads, T, T) what a window of Swin adds to its logits; None for other attention."""
    table = getattr(attn, 'relative_position_bias_table', None)
    if table is None:
        return None
    return table.float()[attn.relative_position_index.flatten()].unflatten(0, (tokens, tokens)).permute(2, 0, 1)


def _prefix_tokens(backbone: nn.Module, anatomy: Anatomy | None, attn: nn.Module, reading: str) -> int:
    if anatomy is None:
        if reading == 'class':
            return 1
        token = int(getattr(backbone, 'cls_token', None) is not None)
        return next(
            (getattr(backbone, n) for n in ('num_extra_tokens', 'num_prefix_tokens') if hasattr(backbone, n)), token
        )
    blocks = getattr(backbone, anatomy.blocks).modules()
    joined = reading == 'class' or any(attn is module for module in blocks)  # PVT: not before stage 4
    return anatomy.prefix_tokens(backbone) if joined else 0
