"""The model whose class attention determines the salient patches."""

from pathlib import Path

from mmengine.registry import MODELS, DefaultScope
from torch import nn

from mixpro_mm.labeling import ClassAttentionTap
from mixpro_mm.utils.backbone_spec import find_backbone
from mixpro_mm.utils.checkpoint import load_exactly, read_checkpoint

__all__ = ['build_saliency_model', 'saliency_tap']


def build_saliency_model(config: dict) -> tuple[nn.Module, str]:
    """Build a frozen backbone from a checkpoint; return it and the SHA-256 of the file.

    Args:
        config: Config of a ViT of mmpretrain or a classifier with one, and ``checkpoint``, a local file in the key
            layout of mmpretrain.

    Raises:
        ValueError: ``checkpoint`` is missing, or its tensors do not match the backbone.
        FileNotFoundError: The file does not exist.
    """
    config = dict(config)
    path = config.pop('checkpoint', None)
    if not path:
        raise ValueError(f"saliency=dict(type={config.get('type')!r}, ...) needs checkpoint='FILE'")
    if not Path(path).expanduser().is_file():
        raise FileNotFoundError(
            f'there is no saliency checkpoint {path}; convert an official DINO or DeiT file by '
            f'`python tools/convert_checkpoint.py SRC {path} --to mmpretrain`'
        )
    tensors, sha256 = read_checkpoint(path)[:2]
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        backbone = find_backbone(MODELS.build(config))
    inner = {key.removeprefix('backbone.'): value for key, value in tensors.items() if key.startswith('backbone.')}
    tensors = inner or {key: value for key, value in tensors.items() if not key.startswith('head')}
    load_exactly(backbone, tensors, f'saliency checkpoint {path}')
    backbone.eval()  # returns None in mmpretrain
    return backbone.requires_grad_(False), sha256


def saliency_tap(model: nn.Module, head: int | str = 'mean') -> ClassAttentionTap:
    """Return a tap on the class attention of the last block of a classifier or backbone.

    Args:
        model: Model with class attention.
        head: Index of the attention head, or 'mean' over all heads.

    Raises:
        ValueError: The model has no class attention, or not this head.
    """
    backbone = find_backbone(model)
    name = type(backbone).__name__
    try:
        tap = ClassAttentionTap(backbone, head=head)
    except ValueError as error:
        reason = str(error).split('; ')[0].split(': use attention=')[0]
        raise ValueError(
            f'{name} has no class attention, which determines the salient patches ({reason}); '
            "give a ViT with saliency=dict(type='VisionTransformer', ..., checkpoint=...)"
        ) from error
    heads = tap.block.attn.num_heads
    if head != 'mean' and not (type(head) is int and 0 <= head < heads):
        raise ValueError(f"saliency_head must be 'mean' or one of 0 to {heads - 1} for {name}, got {head!r}")
    return tap
