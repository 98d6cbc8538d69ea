"""What the families of models share.

The module of a family has ``LABEL``, the name for people; ``LAYOUTS``, a tensor that only one layout has and the table
from there to the names of mmpretrain's classifier (None if it has them); ``TARGETS``, the tables from those names;
``INSTEAD``, why another target is impossible and what to do; ``PUBLISHED``, width to blocks of the published models;
``TIMM_MODEL``, 'module:Class'; ``measure(tensors, heads)``, which reads the size from tensors under mmpretrain's names;
``config(size, target)`` of the model, or of the backbone for mmseg and mmdet; and, where a target yields maps,
``maps(size)``, the config of mmpretrain's backbone that does so. In every size are ``blocks`` and ``width`` for people,
``img_size``, ``patch_size``, ``classes`` (0 without a classifier), and the other ``numbers`` of the class.
"""

import re
from math import inf, isqrt, nextafter
from types import ModuleType

from torch import Tensor

from mixpro_mm.transfer.keys import Renamed, with_shape

__all__ = ['check_ranks', 'classifier', 'count', 'describe', 'ratio', 'square_side', 'uncommon', 'whole']

RANKS = {  # ends of names in mmpretrain's classifiers -> number of dimensions that the sizes are read from
    r'(cls_token|pos_embed\d?|temperature)': 3,
    r'(patch_embed\d?\.proj(ection)?|attn\.sr)\.weight': 4,
    r'(ffn\.layers\.0\.0|mlp\.fc1|head|fc)\.weight|bias_table': 2,
    r'(mlp\.fc1|proj_l)\.bias': 1,
}
EXTRA = (  # rows of tensors that released files have and no class needs
    ('token_head.', None, 'SMMix trains this second head on patches and predicts without it'),
    ('head1.', None, 'no forward pass of the released MixPro uses it'),
    ('mask_token', None, 'no forward pass of the released MixPro uses it'),
)
NO_HEAD = {host: ('head.', None, f'a backbone of {host} has no classifier') for host in ('mmseg', 'mmdet')}


def check_ranks(file: Renamed) -> None:
    """Raise ``has ... of shape ... that does not fit`` for the tensors that sizes are read from."""
    for name, tensor in file.tensors.items():
        rank = next((rank for end, rank in RANKS.items() if re.search(rf'(^|\.)({end})$', name)), tensor.ndim)
        if tensor.ndim != rank:
            what = with_shape(file.origins[name][0], tensor)
            raise ValueError(f'has {what} that does not fit: {rank} dimensions are expected')


def classifier(size: dict, backbone: dict, channels: int, head: str = 'LinearClsHead', **more) -> dict:
    """The config of mmpretrain's classifier; without a head where the file has none."""
    head = dict(head=dict(type=head, num_classes=size['classes'], in_channels=channels)) if size['classes'] else {}
    return dict(type='ImageClassifier', backbone=backbone, **more, **head)


def describe(size: dict) -> str:
    """A size in a few words."""
    window = f'window {size["numbers"]["window_size"]}, ' if 'window_size' in size['numbers'] else ''
    model = f'{size["blocks"]} blocks of {size["width"]} channels'
    classes = f'{size["classes"]} classes' if size['classes'] else 'no classifier'
    return f'{model}, patch {size["patch_size"]}, {window}{size["img_size"]} px, {classes}'


def uncommon(family: ModuleType, size: dict) -> str:
    """The sentence about a published width with a depth that is not, or ''; such a file may have lost its end."""
    known = family.PUBLISHED.get(size['width'], (size['blocks'],))
    if size['blocks'] in known:
        return ''
    return (
        f'{family.LABEL} of {size["width"]} channels is published with {" or ".join(known)} blocks and this one has '
        f'{size["blocks"]}: if it was not trained like that, the file was cut off'
    )


def ratio(hidden: int, dims: int) -> int | float:
    """The number r for which int(r * dims) is ``hidden``."""
    if hidden % dims == 0:
        return hidden // dims
    found = hidden / dims
    return found if int(found * dims) == hidden else nextafter(found, inf)


def whole(number: int | float, host: str) -> int:
    """An MLP ratio for a class that takes whole ones only; a ValueError for another."""
    if number != int(number):
        raise ValueError(f'has MLPs {number:.4g} times as wide as their input; the class of {host} takes whole numbers')
    return int(number)


def count(tensors: dict[str, Tensor], pattern: str) -> int:
    """Number of tensors of a name with one ``*``."""
    regex = re.compile(re.escape(pattern).replace(r'\*', r'\d+'))
    return sum(regex.fullmatch(name) is not None for name in tensors)


def square_side(name: str, rows: int) -> int:
    """Side of the square grid with so many cells; a ValueError if there is none."""
    if isqrt(rows) ** 2 != rows or rows < 1:
        raise ValueError(f'has {rows} positions in {name}, which is no square grid')
    return isqrt(rows)
