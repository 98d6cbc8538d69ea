"""Where the class attention of a model lives, and how to compute one row of it (MixPro, eq. 1 to 4)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

__all__ = ['AttentionBlock', 'class_row', 'find_attention_block', 'token_grid']

# class that defines the layout -> (its list of blocks, attribute that counts the tokens before the patches)
LAYOUTS = {
    'mmpretrain.models.backbones.vision_transformer.VisionTransformer': ('layers', 'num_extra_tokens'),
    'timm.models.vision_transformer.VisionTransformer': ('blocks', 'num_prefix_tokens'),
    'mixpro_mm.backbones.pvt.PVT': ('block4', None),
}
PROJECTIONS = (('qkv',), ('q', 'kv'), ('q', 'k'))


class AttentionBlock(NamedTuple):
    """An attention module with a class token at row 0 and ``prefix_tokens`` tokens before the patches."""

    attn: nn.Module
    prefix_tokens: int

    @property
    def projections(self) -> tuple[str, ...]:
        """Names of the linear layers that yield q and k: ('qkv',), ('q', 'kv') or ('q', 'k'); () if there are none."""
        found = (p for p in PROJECTIONS if all(isinstance(getattr(self.attn, n, None), nn.Module) for n in p))
        return next(found, ())


def find_attention_block(model: nn.Module, path: str | None = None) -> AttentionBlock:
    """The last attention block that a class token takes part in.

    Args:
        model: A classifier of mmpretrain (ImageClassifier, TimmClassifier) or a backbone.
        path: Dotted name of an attention module inside ``model``, for models not known here; it needs ``num_heads`` and
            linear layers ``qkv``, ``q`` and ``kv``, or ``q`` and ``k``.

    Raises:
        ValueError: if the path leads nowhere, or the model has no class attention that is known here.
    """
    backbone = _backbone(model)
    layout = next((LAYOUTS[name] for name in map(_qualified, type(backbone).__mro__) if name in LAYOUTS), None)
    prefix_tokens = getattr(backbone, layout[1]) if layout and layout[1] else 1
    if path is not None:
        try:
            block = AttentionBlock(model.get_submodule(path), prefix_tokens)
        except AttributeError as error:
            raise ValueError(f'attention path {path!r} leads nowhere in {type(model).__name__}: {error}') from None
    elif layout is None:
        known = ', '.join(name.rsplit('.', 1)[1] + ' of ' + name.split('.')[0] for name in LAYOUTS)
        raise ValueError(
            f'{type(backbone).__name__} has no class attention known here ({known}); '
            f"name its last attention module with attention='path.to.attn', or train on area labels with MaskMix"
        )
    elif getattr(backbone, 'cls_token', None) is None:
        raise ValueError(f'{type(backbone).__name__} was built without a class token, so it has no class attention')
    else:
        block = AttentionBlock(getattr(backbone, layout[0])[-1].attn, prefix_tokens)
    if not block.projections or not hasattr(block.attn, 'num_heads'):
        raise ValueError(
            f'{type(block.attn).__name__} at {path or "the last block"} offers no class attention: '
            f'it needs num_heads and linear layers qkv, q and kv, or q and k'
        )
    if getattr(block.attn, 'rope', None) is not None:
        raise ValueError(
            f'{type(block.attn).__name__} at {path or "the last block"} rotates q and k after their projections, '
            f'so its class attention cannot be read from them'
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
    packed = next(value for name, value in outputs.items() if name != 'q')
    width = packed.shape[-1] // {'qkv': 3, 'kv': 2, 'k': 1}[block.projections[-1]]
    query = outputs.get('q', packed)
    query = (query if query.ndim == 2 else query[:, 0])[..., :width]
    key = packed[..., width : 2 * width] if 'qkv' in outputs else packed[..., :width]
    attn, heads = block.attn, block.attn.num_heads
    with torch.no_grad(), torch.autocast(packed.device.type, enabled=False):
        query = getattr(attn, 'q_norm', nn.Identity())(query.float().unflatten(-1, (heads, -1)))
        key = getattr(attn, 'k_norm', nn.Identity())(key.float().unflatten(-1, (heads, -1)))
        scale = getattr(attn, 'scale', None)
        scale = scale if isinstance(scale, float) else (width // heads) ** -0.5
        row = (torch.einsum('bhd,bthd->bht', query, key) * scale).softmax(dim=-1).mean(dim=1)
        return row[:, block.prefix_tokens :]


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


def _backbone(model: nn.Module) -> nn.Module:
    for name in ('module', 'backbone', 'timm_model', 'model'):
        inner = getattr(model, name, None)
        if isinstance(inner, nn.Module):
            return _backbone(inner)
    return model


def _qualified(cls: type) -> str:
    return f'{cls.__module__}.{cls.__qualname__}'
