"""Small models with class attention, and the tensors that operators return."""

from functools import partial

import timm
import torch
from mmpretrain.models import VisionTransformer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mixpro_mm.models import PVT
from tests import micro

SIZE = dict(img_size=32, patch_size=8)
FINE = dict(patch_size=4)  # 64 patches, so that the queries come in several pieces
vit = partial(VisionTransformer, arch=micro.ARCH, **SIZE)
pvt = partial(PVT, dict(micro.PVT_ARCH, depths=(1, 1, 1, 2)), img_size=64)


def timm_model(name='vit_tiny_patch16_224', **kwargs):
    return timm.create_model(name, **{**SIZE, 'embed_dim': 32, 'depth': 2, 'num_heads': 2, 'num_classes': 10, **kwargs})


no_class = partial(vit, with_cls_token=False, out_type='avg_featmap')
averaged = partial(timm_model, class_token=False, global_pool='avg', **FINE)


def lively(model, seed=0):
    """Add noise to every parameter, so that attention is far from uniform."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)
    model.eval()  # returns None in mmpretrain
    return model


class Returned(TorchDispatchMode):
    """Collect shape and size in bytes of every tensor that an operator returns."""

    def __init__(self):
        super().__init__()
        self.shapes, self.bytes = set(), 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for leaf in filter(torch.is_tensor, tree_leaves(out)):
            self.shapes.add(tuple(leaf.shape))
            self.bytes = max(self.bytes, leaf.numel() * leaf.element_size())
        return out
