"""Functions shared by the families of models.

The module of a family defines:

- ``LABEL``: name in messages.
- ``LAYOUTS``: layout -> (a tensor only this layout has, table to the names of mmpretrain's classifier or None).
- ``TARGETS``: target -> table from the names of mmpretrain's classifier, or None.
- ``INSTEAD``: target -> why it is not possible.
- ``PUBLISHED``: width -> blocks of the published models.
- ``TIMM_MODEL``: 'module:Class' or ''.
- ``measure(tensors, heads)``: size of a model from tensors under mmpretrain's names, a dict of ``blocks``, ``width``,
  ``patch_size``, ``img_size``, ``classes`` (0 without a classifier) and ``numbers``, further arguments of the class.
- ``config(size, target)``: config of the model, of the backbone for mmseg and mmdet, or of ``timm.create_model``.
- ``maps(size)``: config of mmpretrain's backbone with feature maps, for mmseg and mmdet.
"""

from math import inf, isqrt, nextafter
from types import ModuleType

from torch import Tensor

from mixpro_mm.transfer.keys import Operation, regex

__all__ = [
    'HUGGING_FACE', 'classifier', 'count', 'describe', 'joined', 'of_transformers', 'ratio', 'square_side',
    'timm_config', 'uncommon', 'whole',
]  # fmt: skip

EXTRA = (  # rows for unused tensors of released files
    ('token_head.', None, 'a second head that SMMix uses in training only'),
    ('head1.', None, 'not used by the released MixPro'),
    ('mask_token', None, 'not used by the released MixPro'),
)
NO_HEAD = {name: ('head.', None, f'a backbone of {name} has no classifier') for name in ('mmseg', 'mmdet')}
HUGGING_FACE = ('Hugging Face', 'Hugging Face, backbone')  # layouts of transformers


def of_transformers(
    name: str, sign: str, rows: tuple[tuple, ...], head: str = 'head.fc.'
) -> dict[str, tuple[str, tuple]]:
    """Return the layouts of a classifier of transformers and of its backbone alone.

    Args:
        name: Name of the backbone in the classifier.
        sign: Name of the tensor that identifies the layout, in the backbone alone.
        rows: Table for the names of the backbone alone.
        head: Prefix of the classifier in mmpretrain.
    """
    prefixed = tuple((f'{name}.{pattern}', *rest) for pattern, *rest in rows)
    with_head = (*prefixed, ('classifier.', head))
    return dict(zip(HUGGING_FACE, ((f'{name}.{sign}', with_head), (sign, rows)), strict=True))


def joined(pattern: str, names: tuple[str, ...], target: str) -> tuple[tuple, ...]:
    """Return the rows that join the tensors ``pattern + name + '.'`` to one."""
    how = f'joined of {", ".join(names[:-1])} and {names[-1]}'
    return tuple((f'{pattern}{name}.', target, Operation(how, part=part)) for part, name in enumerate(names))


def classifier(size: dict, backbone: dict, channels: int, head: str = 'LinearClsHead', **more) -> dict:
    """Return the config of mmpretrain's classifier, without a head if the file has none."""
    head = dict(head=dict(type=head, num_classes=size['classes'], in_channels=channels)) if size['classes'] else {}
    return dict(type='ImageClassifier', backbone=backbone, **more, **head)


def timm_config(size: dict, name: str | None, similar: str, numbers: dict) -> dict:
    """Return the arguments of ``timm.create_model``, with its first, the name of a model, as ``type``.

    Args:
        size: Size of the model.
        name: Model with these ``numbers``, or None.
        similar: Model whose arguments ``numbers`` replace.
        numbers: Arguments of the class in timm.
    """
    sizes = dict(img_size=(size['img_size'], 224), num_classes=(size['classes'], 1000))
    other = {key: value for key, (value, default) in sizes.items() if value != default}
    return dict(type=name or similar, **({} if name else dict(numbers, patch_size=size['patch_size'])), **other)


def describe(size: dict) -> str:
    """Return a size in words."""
    window = f'window {size["numbers"]["window_size"]}, ' if 'window_size' in size['numbers'] else ''
    model = f'{size["blocks"]} blocks of {size["width"]} channels'
    classes = f'{size["classes"]} classes' if size['classes'] else 'no classifier'
    return f'{model}, patch {size["patch_size"]}, {window}{size["img_size"]} px, {classes}'


def uncommon(family: ModuleType, size: dict) -> str:
    """Return a note about a published width with an unpublished depth, or ''; such a file may be truncated."""
    known = family.PUBLISHED.get(size['width'], (size['blocks'],))
    if size['blocks'] in known:
        return ''
    published = f'{family.LABEL} of {size["width"]} channels is published with {" or ".join(known)} blocks'
    return f'{published}, this one has {size["blocks"]}; the file may be truncated'


def ratio(hidden: int, dims: int) -> int | float:
    """Return the number r for which int(r * dims) is ``hidden``."""
    if hidden % dims == 0:
        return hidden // dims
    found = hidden / dims
    return found if int(found * dims) == hidden else nextafter(found, inf)


def whole(number: int | float, toolkit: str) -> int:
    """Return an MLP ratio for a class that supports integers only; raise ValueError for another number."""
    if number != int(number):
        raise ValueError(f'has an MLP ratio of {number:.4g}; the class of {toolkit} supports integers only')
    return int(number)


def count(tensors: dict[str, Tensor], pattern: str) -> int:
    """Count the tensors of a name in which ``*`` is a number."""
    return sum(regex(pattern).fullmatch(name) is not None for name in tensors)


def square_side(name: str, rows: int) -> int:
    """Return the side of a square grid of ``rows`` cells."""
    if isqrt(rows) ** 2 != rows or rows < 1:
        raise ValueError(f'has {rows} positions in {name}, not a square grid')
    return isqrt(rows)
