"""Key layouts of the models of the paper."""

import re
from types import ModuleType

from torch import Tensor

from mixpro_mm.transfer.keys import prefixes, some
from mixpro_mm.transfer.layouts import cait, pvt, swin, vit, xcit

__all__ = ['FAMILIES', 'LOSS', 'OWN_LAYOUT', 'TARGETS', 'recognise', 'without_wrapping']

FAMILIES = (cait, xcit, pvt, swin, vit)  # vit last: files of CaiT and XCiT have its sign, too
OWN_LAYOUT = 'mmpretrain'
TARGETS = ('mmpretrain', 'mmseg', 'mmdet', 'mixpro', 'timm')
DISTILLED = 'is a distilled DeiT (it has dist_token), which no target supports; use the DeiT without distillation'
SWIN_V2 = 'is a Swin v2; only Swin v1 can be converted'
REFUSED = {  # a tensor -> message about its file
    **dict.fromkeys(('dist_token', 'backbone.dist_token', 'head_dist.weight'), DISTILLED),
    'embeddings.distillation_token': DISTILLED,  # of transformers
    'backbone.ca_block.attn.q.weight': "is a CA-Swin; use type='mixpro_mm.CASwin' in configs of mmseg and mmdet",
    'block1.0.mlp.dwconv.dwconv.weight': 'is a PVT v2; only PVT v1 can be converted',
    'layers.0.blocks.0.attn.logit_scale': SWIN_V2,
    'encoder.layers.0.blocks.0.attention.self.logit_scale': SWIN_V2,  # of transformers
}
# added by torch anywhere in a name
WRAPPED = r'(^|\.)(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)(?=\.)'
LOSS = ('head.loss_module.', 'loss_module.')  # the second in TimmClassifier


def without_wrapping(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], str, list[str]]:
    """Return the tensors of the model without their prefix, such as ``model.``, the prefix, and the names outside it.

    Raises:
        ValueError: If there are models under several prefixes.
    """
    plain = {re.sub(WRAPPED, '', name).removeprefix('.'): tensor for name, tensor in tensors.items()}
    tensors = plain if len(plain) == len(tensors) else tensors
    signs = {sign for family in FAMILIES for sign, _ in family.LAYOUTS.values()} | REFUSED.keys()
    found = prefixes(tensors, signs)
    first = sorted(prefix for prefix in found if not any(prefix.startswith(o) and prefix != o for o in found))
    if len(first) > 1:
        raise ValueError(f'has models under the prefixes {", ".join(first)}: name one, as in --take {first[0][:-1]}')
    prefix = first[0] if first else ''
    inside = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    return inside, prefix, [name for name in tensors if not name.startswith(prefix)]


def recognise(tensors: dict[str, Tensor]) -> tuple[ModuleType, str]:
    """Return family and layout of a file; raise ValueError if it has none."""
    if refused := next((what for sign, what in REFUSED.items() if sign in tensors), ''):
        raise ValueError(refused)
    for family in FAMILIES:
        for layout, (sign, _) in family.LAYOUTS.items():
            if sign in tensors:
                return family, layout
    labels = ', '.join(sorted(family.LABEL for family in FAMILIES))
    raise ValueError(f'matches no known layout ({labels}); it has {some(tensors) or "only a loss"}')
