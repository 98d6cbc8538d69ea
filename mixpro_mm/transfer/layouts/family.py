"""What a family of models brings to the converter."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import isqrt

from torch import Tensor

from mixpro_mm.transfer.keys import Rule, drop

__all__ = ['OWN_LOSS', 'Family', 'Original', 'count', 'no_head', 'square_side']

OWN_LOSS = drop('belongs to the loss of pre-training', 'head.loss_module.raw_factor')


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
        measure: Tensors under the names of mmpretrain's classifier (and the number of heads, where no tensor tells it)
            to a size. Raises ValueError, worded as in ``keys``, and KeyError.
        describe: Size to a few words.
        config: (size, target) to the config of the model, or of the backbone for mmseg and mmdet.
        maps: Size to the config of a backbone that takes the names of mmpretrain's and yields the target's maps.
        original: (size, whether maps) to the model that files in a foreign layout are of.
        side: (size, whether maps) to the height and width of images for the proof.
        remark: What to know about the target, to be printed.
        needs_timm: Whether ``original`` does.
    """

    label: str
    signs: dict[str, str]
    layouts: dict[str, tuple[Rule, ...]]
    targets: dict[str, tuple[Rule, ...] | None]
    instead: dict[str, str]
    measure: Callable[[dict[str, Tensor], int | None], dict]
    describe: Callable[[dict], str]
    config: Callable[[dict, str], dict]
    original: Callable[[dict, bool], Original]
    maps: Callable[[dict], dict] | None = None
    side: Callable[[dict, bool], int] = lambda size, maps: size['img_size']
    remark: dict[str, str] = field(default_factory=dict)
    needs_timm: bool = True


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
