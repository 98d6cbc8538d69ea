"""Key layouts of the models of the paper, and how to tell them apart."""

from torch import Tensor

from mixpro_mm.transfer.keys import some
from mixpro_mm.transfer.layouts.cait import CAIT
from mixpro_mm.transfer.layouts.family import Family, Original, check_shapes, uncommon, without_loss
from mixpro_mm.transfer.layouts.pvt import PYRAMID
from mixpro_mm.transfer.layouts.swin import SWIN
from mixpro_mm.transfer.layouts.vit import VIT
from mixpro_mm.transfer.layouts.xcit import XCIT

__all__ = [
    'FAMILIES',
    'OWN_LAYOUT',
    'TARGETS',
    'Family',
    'Original',
    'check_shapes',
    'recognise',
    'uncommon',
    'without_loss',
]

FAMILIES = (CAIT, XCIT, PYRAMID, SWIN, VIT)  # VIT last: its sign is in files of CaiT and XCiT, too
OWN_LAYOUT = 'mmpretrain'
TARGETS = ('mmpretrain', 'mmseg', 'mmdet', 'mixpro')
REFUSED = {  # a tensor -> what its file is
    'dist_token': 'is a distilled DeiT (it has dist_token), whose second token none of the targets can train; take '
    'the DeiT without distillation',
    'backbone.dist_token': 'is a distilled DeiT (it has dist_token), whose second token none of the targets can train; '
    'take the DeiT without distillation',
    'backbone.ca_block.attn.q.weight': 'is a CA-Swin, which neither mmseg nor mmdet has; in their configs '
    "type='mixpro_mm.CASwin' takes it as it is",
    'block1.0.mlp.dwconv.dwconv.weight': 'is a PVT v2; only PVT v1 can be converted',
    'layers.0.blocks.0.attn.logit_scale': 'is a Swin v2; only Swin v1 can be converted',
}


def recognise(tensors: dict[str, Tensor]) -> tuple[Family, str]:
    """Family and name of the layout of a file.

    Raises:
        ValueError: What the file is instead, to follow its name.
    """
    if 'head_dist.weight' in tensors:
        raise ValueError(REFUSED['dist_token'])
    for sign, what in REFUSED.items():
        if sign in tensors:
            raise ValueError(what)
    for family in FAMILIES:
        for layout, sign in family.signs.items():
            if sign in tensors:
                return family, layout
    labels = ', '.join(sorted(family.label for family in FAMILIES))
    raise ValueError(f'has the names of no layout known here ({labels}); it has {some(tensors) or "a loss alone"}')
