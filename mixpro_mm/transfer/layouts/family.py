"""What a family of models brings to the converter."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf, isqrt, nextafter

from torch import Tensor

from mixpro_mm.transfer.keys import Renamed, Rule, drop, with_shape

__all__ = [
    'Family',
    'Original',
    'check_shapes',
    'count',
    'no_head',
    'ratio',
    'square_side',
    'uncommon',
    'whole',
    'without_loss',
]

LOSS = ('head.loss_module.', 'loss_module.')  # the second with TimmClassifier, whose head is timm's


@dataclass
class Original:
    """The model that a file is of, in the implementation that its names belong to."""

    name: str
    load: Callable[[dict[str, Tensor]], object]  # strict: a RuntimeError if anything does not fit
    read: Callable[[Tensor], tuple[Tensor, ...]]  # images (B, 3, H, W) -> (logits or features (B, C),) or maps


@dataclass(frozen=True)
class Family:
    """Tables and models of one family; sizes are dicts that ``measure`` makes and the others read.

    Args:
        label: Name for people.
        signs: Name of a layout to a tensor that only this layout has.
        layouts: Name of a layout to the table that leads to the names of mmpretrain's classifier.
        targets: Name of a target to the table that leads there from the names of mmpretrain's classifier, None if
            these are the names already.
        instead: Why another target is impossible, and what to do.
        ranks: Name, with ``*``, in mmpretrain's classifier to the number of dimensions that ``measure`` and the targets
            count on.
        measure: Tensors under the names of mmpretrain's classifier (and the number of heads, where no tensor tells it)
            to a size. Raises ValueError, worded as in ``keys``, and KeyError.
        blocks: Size to (width, depth).
        published: Width to the depths of the published models.
        describe: Size to a few words.
        config: (size, target) to the config of the model, or of the backbone for mmseg and mmdet.
        maps: Size to the config of a backbone that takes the names of mmpretrain's and yields the target's maps.
        original: (size, whether maps) to the model that files in a foreign layout are of.
        side: (size, whether maps) to the height and width of images for the proof.
        heads_from: What tells the number of heads; '' where nothing does, and it may be given.
        remark: What to know about the target, to be printed.
        needs_timm: Whether ``original`` does.
    """

    label: str
    signs: dict[str, str]
    layouts: dict[str, tuple[Rule, ...]]
    targets: dict[str, tuple[Rule, ...] | None]
    instead: dict[str, str]
    ranks: dict[str, int]
    measure: Callable[[dict[str, Tensor], int | None], dict]
    blocks: Callable[[dict], tuple[object, object]]
    published: dict[object, tuple]
    describe: Callable[[dict], str]
    config: Callable[[dict, str], dict]
    original: Callable[[dict, bool], Original]
    maps: Callable[[dict], dict] | None = None
    side: Callable[[dict, bool], int] = lambda size, maps: size['img_size']
    heads_from: str = ''
    remark: dict[str, str] = field(default_factory=dict)
    needs_timm: bool = True


def without_loss(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors but those of a loss (``mixpro_mm.losses``), and of these the names and why they are dropped."""
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(LOSS)}
    return kept, dict.fromkeys((name for name in tensors if name not in kept), 'belongs to the loss of pre-training')


def check_shapes(renamed: Renamed, ranks: dict[str, int]) -> None:
    """Compare numbers of dimensions.

    Args:
        renamed: A file under the names of mmpretrain's classifier.
        ranks: Those of a family.

    Raises:
        ValueError: ``has ... of shape ... that does not fit``, with the name in the file.
    """
    rules = {Rule(pattern): rank for pattern, rank in ranks.items()}
    for name, tensor in renamed.tensors.items():
        rank = next((rank for rule, rank in rules.items() if rule.match(name) is not None), tensor.ndim)
        if tensor.ndim != rank:
            what = with_shape(renamed.origins[name][0], tensor)
            raise ValueError(f'has {what} that does not fit: {rank} dimensions are expected')


def uncommon(family: Family, size: dict) -> str:
    """The sentence about a published width with a depth that is not, or ''; such a file may have lost its end."""
    width, depth = family.blocks(size)
    known = family.published.get(width, (depth,))
    if depth in known:
        return ''
    return (
        f'{family.label} of {_dashed(width)} channels is published with {" or ".join(map(_dashed, known))} blocks and '
        f'this one has {_dashed(depth)}: if it was not trained like that, the file was cut off'
    )


def ratio(hidden: int, dims: int) -> int | float:
    """The number r for which int(r * dims) is ``hidden``."""
    if hidden % dims == 0:
        return hidden // dims
    found = hidden / dims
    return found if int(found * dims) == hidden else nextafter(found, inf)


def whole(number: int | float, host: str) -> int:
    """An MLP ratio for a class that takes whole ones only.

    Raises:
        ValueError: To follow the name of the file.
    """
    if number != int(number):
        raise ValueError(f'has MLPs {number:.4g} times as wide as their input; the class of {host} takes whole numbers')
    return int(number)


def count(tensors: dict[str, Tensor], pattern: str) -> int:
    """Number of tensors of a name with one ``*``."""
    rule = Rule(pattern)
    return sum(rule.match(name) is not None for name in tensors)


def square_side(name: str, rows: int) -> int:
    """Side of the square grid with so many cells."""
    if isqrt(rows) ** 2 != rows or rows < 1:
        raise ValueError(f'has {rows} positions in {name}, which is no square grid')
    return isqrt(rows)


def no_head(host: str, *names: str) -> tuple[Rule, ...]:
    """Rules that leave the classifier behind."""
    return drop(f'a backbone of {host} has no classifier', *names)


def _dashed(numbers) -> str:
    """12, or 2-2-6-2."""
    return '-'.join(map(str, numbers)) if isinstance(numbers, tuple) else str(numbers)
