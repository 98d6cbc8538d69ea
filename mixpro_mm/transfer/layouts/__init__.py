"""Key layouts of the models of the paper, and how to tell them apart."""

import re
from types import ModuleType

from torch import Tensor

from mixpro_mm.transfer.keys import prefixes, some
from mixpro_mm.transfer.layouts import cait, pvt, swin, vit, xcit

__all__ = ['FAMILIES', 'OWN_LAYOUT', 'TARGETS', 'recognise', 'without_loss', 'without_wrapping']

FAMILIES = (cait, xcit, pvt, swin, vit)  # vit last: its sign is in files of CaiT and XCiT, too
OWN_LAYOUT = 'mmpretrain'
TARGETS = ('mmpretrain', 'mmseg', 'mmdet', 'mixpro')
DISTILLED = (
    'is a distilled DeiT (it has dist_token), whose second token none of the targets can train; take the DeiT without '
    'distillation'
)
REFUSED = {  # a tensor -> what its file is
    **dict.fromkeys(('dist_token', 'backbone.dist_token', 'head_dist.weight'), DISTILLED),
    'backbone.ca_block.attn.q.weight': 'is a CA-Swin, which neither mmseg nor mmdet has; in their configs '
    "type='mixpro_mm.CASwin' takes it as it is",
    'block1.0.mlp.dwconv.dwconv.weight': 'is a PVT v2; only PVT v1 can be converted',
    'layers.0.blocks.0.attn.logit_scale': 'is a Swin v2; only Swin v1 can be converted',
}
WRAPPED = r'(^|\.)(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)(?=\.)'  # by torch, anywhere in a name
LOSS = ('head.loss_module.', 'loss_module.')  # the second with TimmClassifier, whose head is timm's


def without_wrapping(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], str, list[str]]:
    """The tensors of a model under a prefix, such as ``model.`` of Lightning; the prefix or ''; names outside of it.

    A ValueError, to follow the name of the file, if models stand under several prefixes.
    """
    plain = {re.sub(WRAPPED, '', name).removeprefix('.'): tensor for name, tensor in tensors.items()}
    if len(plain) == len(tensors):
        tensors = plain
    signs = {sign for family in FAMILIES for sign, _ in family.LAYOUTS.values()} | REFUSED.keys()
    found = prefixes(tensors, signs)
    first = sorted(prefix for prefix in found if not any(prefix.startswith(o) and prefix != o for o in found))
    if len(first) > 1:
        raise ValueError(
            f'has models under the prefixes {", ".join(first)}: name the one to convert, such as --take {first[0][:-1]}'
        )
    prefix = first[0] if first else ''
    inside = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    return inside, prefix, [name for name in tensors if not name.startswith(prefix)]


def without_loss(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors but those of a loss (``mixpro_mm.models``), and of these the names and why they are dropped."""
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(LOSS)}
    return kept, dict.fromkeys((name for name in tensors if name not in kept), 'belongs to the loss of pre-training')


def recognise(tensors: dict[str, Tensor]) -> tuple[ModuleType, str]:
    """Family and name of the layout of a file; a ValueError says what it is instead, to follow its name."""
    if refused := next((what for sign, what in REFUSED.items() if sign in tensors), ''):
        raise ValueError(refused)
    for family in FAMILIES:
        for layout, (sign, _) in family.LAYOUTS.items():
            if sign in tensors:
                return family, layout
    labels = ', '.join(sorted(family.LABEL for family in FAMILIES))
    raise ValueError(f'has the names of no layout known here ({labels}); it has {some(tensors) or "a loss alone"}')
