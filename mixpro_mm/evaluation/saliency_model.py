"""The model whose class attention says which patches of an image are salient."""

from pathlib import Path

from mmengine.registry import MODELS, DefaultScope
from torch import nn

from mixpro_mm.labeling import ClassAttentionTap
from mixpro_mm.utils.backbone_spec import find_backbone
from mixpro_mm.utils.checkpoint import load_exactly, read_state_dict

__all__ = ['build_saliency_model', 'saliency_tap']


def build_saliency_model(config: dict) -> tuple[nn.Module, str]:
    """A backbone with the weights of a file, and the SHA-256 of that.

    Args:
        config: Of a ViT of mmpretrain (``type='VisionTransformer'``, arguments) or a classifier around one, and
            ``checkpoint``, a local file in the key layout of mmpretrain.

    Raises:
        ValueError: if ``checkpoint`` is not given, or file and backbone do not fit tensor by tensor.
        FileNotFoundError: if there is no such file.
    """
    config = dict(config)
    path = config.pop('checkpoint', None)
    if not path:
        raise ValueError(
            f"saliency=dict(type={config.get('type')!r}, ...) needs checkpoint='FILE': "
            'the attention of random weights means nothing'
        )
    if not Path(path).expanduser().is_file():
        raise FileNotFoundError(
            f'there is no saliency checkpoint {path}; of an official DINO or DeiT file, '
            f'`python tools/convert_checkpoint.py SRC {path} --to mmpretrain` makes one'
        )
    tensors, sha256 = read_state_dict(path)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        backbone = find_backbone(MODELS.build(config))
    inner = {key.removeprefix('backbone.'): value for key, value in tensors.items() if key.startswith('backbone.')}
    tensors = inner or {key: value for key, value in tensors.items() if not key.startswith('head')}
    load_exactly(backbone, tensors, f'saliency checkpoint {path}')
    backbone.eval()  # which returns None in mmpretrain
    return backbone.requires_grad_(False), sha256


def saliency_tap(model: nn.Module, head: int | str = 'mean') -> ClassAttentionTap:
    """The tap on the class attention of the last block of a classifier or backbone.

    Args:
        model: With class attention.
        head: Index of the head to read, or 'mean' over all heads.

    Raises:
        ValueError: if the model has no class attention, or no such head.
    """
    backbone = find_backbone(model)
    name = type(backbone).__name__
    try:
        tap = ClassAttentionTap(backbone, head=head)
    except ValueError as error:
        reason = str(error).split('; ')[0].split(': attention=')[0]
        raise ValueError(
            f'{name} has no class token whose attention could tell which patches are salient ({reason}); '
            "give a ViT with saliency=dict(type='VisionTransformer', ..., checkpoint=...)"
        ) from error
    heads = tap.block.attn.num_heads
    if head != 'mean' and not (type(head) is int and 0 <= head < heads):
        raise ValueError(f"saliency_head must be 'mean' or one of 0 to {heads - 1} for {name}, got {head!r}")
    return tap
