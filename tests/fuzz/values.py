"""All public parameters of registered components, with valid values and independent rules for other values."""

import math
from collections.abc import Callable
from functools import cache
from numbers import Integral, Real
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
import torch
from hypothesis import strategies as st
from torch import nn

from tests.fuzz.models import CHANNELS, CLASSES, EXTRACTOR, SMOOTH_LOSS, SOFT_LOSS

__all__ = ['PARAMETERS', 'Parameter', 'light', 'wild']


class Parameter(NamedTuple):
    good: tuple[Any, ...]  # valid in combination with any other good values
    accepts: Callable[[Any], bool]  # whether the documentation allows a value
    always: bool = False  # required, or the default is for larger images


def number(value) -> bool:
    try:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


def integer(least: int):
    return lambda value: isinstance(value, Integral) and not isinstance(value, bool) and value >= least


def closed(low: float, high: float):
    return lambda value: number(value) and low <= value <= high


def above(low: float, high: float = math.inf):
    return lambda value: number(value) and low < value < high


def fraction(value) -> bool:
    return number(value) and 0 < value <= 1


def smoothing(value) -> bool:
    return number(value) and 0 <= value < 1


def of_kind(*kinds):
    return lambda value: isinstance(value, kinds)


def optional(rule):
    return lambda value: value is None or rule(value)


def choice(*names: str) -> Parameter:
    return Parameter(names, lambda value: isinstance(value, str) and value in names)


def counts(value) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(integer(2)(count) for count in value)


def pair_of_sides(value) -> bool:
    if not isinstance(value, list | tuple) or len(value) != 2 or not all(above(0)(side) for side in value):
        return False
    return value[0] <= value[1] and (value[1] < 1 or all(side == int(side) for side in value))


def patterns(value) -> bool:
    return isinstance(value, str) or (isinstance(value, list | tuple) and all(isinstance(part, str) for part in value))


ALPHA = Parameter((1.0, 0.3, 5, 0.01, 1e30, np.float32(2)), closed(0.01, 1e30))
PARTNER, RATIO = choice('permutation', 'flip'), choice('batch', 'sample')
PROB = Parameter((1.0, 1, 0.5, 1e-9), fraction)
ROUNDING = choice('floor', 'ceil')
COMMON = dict(alpha=ALPHA, partner=PARTNER, ratio=RATIO, prob=PROB)
PATCH = Parameter((4, 8, np.int64(16)), integer(1))
ASPECT = Parameter((0.3, 1, 1e-3), fraction)
MIN_PATCHES = Parameter((1, 2, 16, 10**6), integer(1))
CHECKPOINT = Parameter((False,), of_kind(type(None), bool, str, PathLike))
LAYER = Parameter((None, 'backbone.layer4'), of_kind(type(None), str))
ATTENTION = Parameter(
    (None, 'query_mean', dict(reading='query_mean'), dict(path=None), {}), of_kind(type(None), str, dict)
)
FACTORS = ('cosine', 'equal', 'linear', 'parabolic')
FACTOR = choice(*FACTORS, 'learnable')._replace(good=FACTORS)  # 'learnable' needs a loss with the parameter
MASK_MIX = dict(
    COMMON,
    patch_size=Parameter((4, 8, 8.0), above(0), always=True),
    mask_scale=Parameter((1, 2, 2.0), above(0), always=True),
    rounding=ROUNDING,
    offset=Parameter((0, 3), integer(0)),
    unit=Parameter((1.0, 0.7, 1), fraction),
    shuffle=choice('none', 'pasted', 'canvas', 'both'),
)
ALLOW = Parameter(((), 'ln1.*', ['ln1.*', 'head.*'], ''), patterns)
LOSS = Parameter((SMOOTH_LOSS, SOFT_LOSS), of_kind(dict, nn.Module), always=True)

PARAMETERS: dict[str, dict[str, Parameter]] = dict(
    RegionMix=dict(COMMON, align=Parameter((None, 1, 8), optional(integer(1)))),
    MaskMix=MASK_MIX,
    MixPro=MASK_MIX,
    BlockMix=dict(COMMON, patch_size=PATCH, min_patches=MIN_PATCHES, aspect=ASPECT, rounding=ROUNDING),
    GridMix=dict(COMMON, grid=Parameter((2, 4, 7), integer(2)), rounding=ROUNDING),
    SaliencyMix=COMMON,
    AttentiveCutMix=dict(
        COMMON,
        extractor=Parameter((EXTRACTOR,), of_kind(dict, str, nn.Module), always=True),
        checkpoint=CHECKPOINT._replace(always=True),
        layer=LAYER,
        top_k=Parameter((None, 1, 3), optional(integer(1)), always=True),
        grid=Parameter((2, 7, 32), integer(2)),
    ),
    PuzzleMix=dict(
        COMMON,
        blocks=Parameter(((2, 4), [2], [4, 8, 7]), counts),
        beta=Parameter((1.2, 0, 10), closed(0, math.inf)),
        gamma=Parameter((0.5, 0, 3.0), closed(0, math.inf)),
        eta=Parameter((0.2, 0, 10), closed(0, math.inf)),
        transport=Parameter((True, False), of_kind(bool)),
        t_eps=Parameter((0.8, 1e-3, 5), above(0)),
        neigh=Parameter((1, 3, 4, 10**6), integer(1)),
    ),
    TokenMix=dict(
        patch_size=PATCH,
        lam=Parameter((0.5, 0.9), fraction),
        extra=Parameter((0, 14 / 196, 0.3), closed(0, 1)),
        min_patches=MIN_PATCHES,
        aspect=ASPECT,
        teacher=Parameter(('ema',), of_kind(dict, str, nn.Module)),
        checkpoint=CHECKPOINT._replace(good=(None,)),
        layer=LAYER._replace(good=(None,)),
        target=choice('bce', 'ce'),
        smoothing=Parameter((0, 0.1), smoothing),
        partner=PARTNER,
        prob=PROB,
    ),
    SMMix=dict(
        patch_size=PATCH,
        sides=Parameter(((0.25, 0.75), [1, 1], (1, 2), (3, 10), (0.01, 0.99)), pair_of_sides),
        attention=ATTENTION,
        partner=PARTNER,
        prob=PROB,
    ),
    AreaLabeling={},
    AttentionLabeling=dict(downsample=choice('area', 'nearest')),
    ProgressiveAttentionLabeling=dict(
        detach=Parameter((True, False), of_kind(bool)),
        smooth_target=Parameter((True, False), of_kind(bool)),
        label_smooth_val=Parameter((0, 0.1, 0.99), smoothing),
        factor=FACTOR,
        downsample=choice('area', 'nearest'),
    ),
    LabelingHook=dict(
        labeling=Parameter(
            ('AreaLabeling', 'mixpro_mm.AttentionLabeling', dict(type='ProgressiveAttentionLabeling', detach=False)),
            lambda value: isinstance(value, str | dict) or callable(value),
        ),
        attention=ATTENTION,
    ),
    NonFiniteLossHook={},
    IterSeedHook={},
    AtomicCheckpointHook={},
    CheckpointCheckHook=dict(allow=ALLOW),
    ClassCheckHook=dict(ignore=ALLOW),
    TransferCheckHook=dict(
        module=Parameter(('backbone', 'head', 'backbone.ln1'), of_kind(str)),
        checkpoint=Parameter((None,), of_kind(type(None), str, PathLike)),
        prefix=Parameter((None,), of_kind(type(None), str)),
        allow=ALLOW,
    ),
    BranchLoss=dict(loss=LOSS, labelled=LOSS),
    LearnableFactor=dict(loss=LOSS, init=Parameter((0.5, 0.01, 0.99), above(0, 1))),
    LocalContextLoss=dict(
        loss=LOSS,
        in_channels=Parameter((CHANNELS,), integer(1), always=True),
        num_classes=Parameter((CLASSES,), integer(1), always=True),
        weight=Parameter((0.15, 1, 1e-9), above(0)),
        grid=Parameter((1, 2, 3), integer(1), always=True),
    ),
)

JUNK = (
    *(None, True, False, 0, 1, -1, 2, 16, 10**6, 10**400, -(10**400), 1j),
    *(0.0, -0.0, 0.5, -0.5, 1.0, 1.5, 16.0, 5e-324, 1e300, -1e300, math.nan, math.inf, -math.inf),
    *('', ' ', 'none', '16', '0.5', 'True', 'ema', 'class', 'backbone', 'timm.', 'timm.x', '.'),
    *([], [1], [2, 1], [16], (), (1, 2), (0.5, 0.5), (0.5, 2), [[1]], ['a'], [None], [math.nan, 1], [True, True]),
    *({}, dict(type='no such thing'), dict(type=None), dict(type=5), dict(a=dict(b=[])), {1: 2}, dict(reading='no')),
    *(np.float32(0.5), np.int64(2), np.bool_(True), np.array([1, 2]), torch.tensor(0.5), b'16', range(3), {1, 2}),
    *(len, dict, nn.Identity()),
)


def light(value) -> bool:
    return not integer(129)(value) or value >= 2**62


@cache
def wild() -> st.SearchStrategy:
    """Return a strategy of arbitrary config values."""
    numbers = st.floats() | st.integers(-(2**40), 2**12) | st.integers(2**62, 2**70)
    scalars = numbers | st.text('aB_.1- ', max_size=6)
    return (
        st.sampled_from(JUNK)
        | st.sampled_from(JUNK)
        | scalars
        | st.lists(scalars, max_size=3)
        | st.tuples(numbers, numbers)
        | st.dictionaries(st.sampled_from(['type', 'path', 'reading', 'a']), scalars, max_size=2)
    )
