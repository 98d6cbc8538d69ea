"""What a vision transformer looks at: the class attention of its last block, of one head or of all."""

from pathlib import Path

import torch
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn

from mixpro_mm.anatomy import find_backbone
from mixpro_mm.attention import class_heads, find_attention_block
from mixpro_mm.checkpoint import read_state_dict

__all__ = ['ClassAttention', 'build_saliency_model']


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
    try:
        lost, unplaced = backbone.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise ValueError(
            f'saliency checkpoint {path} does not fit {type(backbone).__name__}: {str(error).splitlines()[-1].strip()}'
        ) from error
    if lost or unplaced:
        raise ValueError(
            f'saliency checkpoint {path} does not fit {type(backbone).__name__}: {len(lost)} tensors are missing from '
            f'the file and {len(unplaced)} of it have no place, the first {[*lost, *unplaced][0]}'
        )
    backbone.eval()  # which returns None in mmpretrain
    return backbone.requires_grad_(False), sha256


class ClassAttention:
    """Reads the class token's attention to the patches in the last block off a forward pass of its own.

    Args:
        model: A classifier or backbone with class attention.
        head: Index of the head to read, or 'mean' over all heads.

    Raises:
        ValueError: if the model has no class attention, or no such head.
    """

    def __init__(self, model: nn.Module, head: int | str = 'mean'):
        self.backbone = find_backbone(model)
        name = type(self.backbone).__name__
        try:
            self.block = find_attention_block(self.backbone)
        except ValueError as error:
            reason = str(error).split('; ')[0].split(': attention=')[0]
            raise ValueError(
                f'{name} has no class token whose attention could tell which patches are salient ({reason}); '
                "give a ViT with saliency=dict(type='VisionTransformer', ..., checkpoint=...)"
            ) from error
        heads = self.block.attn.num_heads
        if head != 'mean' and not (type(head) is int and 0 <= head < heads):
            raise ValueError(f"saliency_head must be 'mean' or one of 0 to {heads - 1} for {name}, got {head!r}")
        self.head = head

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """(B, h, w) fp32 attention of normalised images (B, 3, H, W); its patches may lie in any grid."""
        outputs = {}
        handles = []
        try:
            for name in self.block.projections:
                projection = getattr(self.block.attn, name)
                keep = lambda _, __, output, name=name: outputs.update({name: output})  # noqa: E731
                handles.append(projection.register_forward_hook(keep))
            self.backbone.to(images.device)(images)
        finally:
            for handle in handles:
                handle.remove()
        rows = class_heads(self.block, outputs)
        row = rows.mean(dim=1) if self.head == 'mean' else rows[:, self.head]
        return row.unflatten(1, self.block.grid(row.shape[1], tuple(images.shape[2:])))
