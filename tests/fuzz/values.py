"""Public parameters of registered components, with valid values and independent rules for other values."""

import math
from collections.abc import Callable
from numbers import Integral, Real
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
import torch
from hypothesis import strategies as st
from torch import nn

from tests.micro import CLASSES, STOCK

__all__ = ['PARAMETERS', 'WILD', 'Parameter']

ABOVE_0, BELOW_1, LARGEST = math.nextafter(0, 1), math.nextafter(1, 0), math.nextafter(math.inf, 0)
SOFT = dict(type='CrossEntropyLoss', use_soft=True)
EXTRACTOR = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=18, base_channels=4, stem_channels=4),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=11, in_channels=32),
)


class Parameter(NamedTuple):
    good: tuple[Any, ...]  # valid in combination with any other good values
    accepts: Callable[[Any], bool]  # whether the documentation allows a value
    always: bool = False  # required, or the default is for larger images


def real(*good, low=ABOVE_0, high=LARGEST, always=False) -> Parameter:
    def accepts(value):
        return isinstance(value, Real) and not isinstance(value, bool | np.bool_) and low <= value <= high

    return Parameter(good, accepts, always)


def whole(*good, low=1, none=False, always=False) -> Parameter:
    def accepts(value):
        return isinstance(value, Integral) and not isinstance(value, bool | np.bool_) and value >= low

    return Parameter(good, lambda value: accepts(value) or (none and value is None), always)


def choice(*names) -> Parameter:
    return Parameter(names, lambda value: isinstance(value, str) and value in names)


def of(kinds, *good, always=False) -> Parameter:
    return Parameter(good, lambda value: isinstance(value, kinds), always)


def patterns(value) -> bool:
    return isinstance(value, str) or (isinstance(value, list | tuple) and all(isinstance(part, str) for part in value))


def counts(value) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(map(whole(low=2).accepts, value))


def layers(value) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(type(layer) is int and layer >= 0 for layer in value)


def sides(value) -> bool:
    if not isinstance(value, list | tuple) or len(value) != 2 or not all(map(real().accepts, value)):
        return False
    return value[0] <= value[1] and (value[1] < 1 or all(side == int(side) for side in value))


PROB = real(1.0, 1, 0.5, 1e-9, high=1)
PARTNER, ROUNDING, DOWNSAMPLE = choice('permutation', 'flip'), choice('floor', 'ceil'), choice('area', 'nearest')
COMMON = dict(
    alpha=real(1.0, 0.3, 5, 0.01, 1e30, np.float32(2), low=0.01, high=1e30),
    partner=PARTNER,
    ratio=choice('batch', 'sample'),
    prob=PROB,
)
TOKENS = dict(patch_size=whole(4, 8, np.int64(16)), partner=PARTNER, prob=PROB)
BLOCKS = dict(min_patches=whole(1, 2, 16, 10**6), aspect=real(0.3, 1, 1e-3, high=1))
OPTIONAL_TEXT = str | None
CHECKPOINT = bool | str | PathLike | None
FLAG = of(bool, True, False)
ATTENTION = of(str | dict | None, None, 'query_mean', dict(reading='query_mean'), dict(path=None), {})
FACTORS = ('cosine', 'equal', 'linear', 'parabolic')
MASK_MIX = dict(
    COMMON,
    patch_size=real(4, 8, 8.0, always=True),
    mask_scale=real(1, 2, 2.0, always=True),
    rounding=ROUNDING,
    offset=whole(0, 3, low=0),
    unit=real(1.0, 0.7, 1, high=1),
    shuffle=choice('none', 'pasted', 'canvas', 'both'),
)
ALLOW = Parameter(((), 'ln1.*', ['ln1.*', 'head.*'], ''), patterns)
LOSS = of(dict | nn.Module, STOCK, SOFT, always=True)

PARAMETERS: dict[str, dict[str, Parameter]] = dict(
    RegionMix=dict(COMMON, align=whole(None, 1, 8, none=True)),
    MaskMix=MASK_MIX,
    MixPro=MASK_MIX,
    BlockMix=dict(COMMON, patch_size=TOKENS['patch_size'], rounding=ROUNDING, **BLOCKS),
    GridMix=dict(COMMON, grid=whole(2, 4, 7, low=2), rounding=ROUNDING),
    PatchMix=dict(COMMON, grid=whole(2, 4, 7, low=2), rounding=ROUNDING),
    ManifoldMixup=dict(COMMON, layers=Parameter(((0, 1), [1], [2, 0]), layers, always=True)),
    MixToken=dict(COMMON, patch_size=whole(8, np.int64(8), always=True)),
    SaliencyMix=COMMON,
    AttentiveCutMix=dict(
        COMMON,
        extractor=of(dict | str | nn.Module, EXTRACTOR, always=True),
        checkpoint=of(CHECKPOINT, False, always=True),
        layer=of(OPTIONAL_TEXT, None, 'backbone.layer4'),
        top_k=whole(None, 1, 3, none=True, always=True),
        grid=whole(2, 7, 32, low=2),
    ),
    PuzzleMix=dict(
        COMMON,
        blocks=Parameter(((2, 4), [2], [4, 8, 7]), counts),
        beta=real(1.2, 0, 10, low=0),
        gamma=real(0.5, 0, 3.0, low=0),
        eta=real(0.2, 0, 10, low=0),
        transport=FLAG,
        t_eps=real(0.8, 1e-3, 5),
        neigh=whole(1, 3, 4, 10**6),
    ),
    TokenMix=dict(
        TOKENS,
        **BLOCKS,
        lam=real(0.5, 0.9, high=1),
        extra=real(0, 14 / 196, 0.3, low=0, high=1),
        teacher=of(dict | str | nn.Module, 'ema'),
        checkpoint=of(CHECKPOINT, None),
        layer=of(OPTIONAL_TEXT, None),
        target=choice('bce', 'ce'),
        smoothing=real(0, 0.1, low=0, high=BELOW_1),
    ),
    SMMix=dict(TOKENS, sides=Parameter(((0.25, 0.75), [1, 1], (3, 10), (0.01, 0.99)), sides), attention=ATTENTION),
    AreaLabeling={},
    AttentionLabeling=dict(downsample=DOWNSAMPLE),
    ProgressiveAttentionLabeling=dict(
        detach=FLAG,
        smooth_target=FLAG,
        label_smooth_val=real(0, 0.1, 0.99, low=0, high=BELOW_1),
        factor=choice(*FACTORS, 'learnable')._replace(good=FACTORS),  # 'learnable' needs a loss with the parameter
        downsample=DOWNSAMPLE,
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
        module=of(str, 'backbone', 'head', 'backbone.ln1'),
        checkpoint=of(str | PathLike | None, None),
        prefix=of(OPTIONAL_TEXT, None),
        allow=ALLOW,
    ),
    BranchLoss=dict(loss=LOSS, labelled=LOSS),
    LearnableFactor=dict(loss=LOSS, init=real(0.5, 0.01, 0.99, high=BELOW_1)),
    LocalContextLoss=dict(
        loss=LOSS,
        in_channels=whole(32, always=True),
        num_classes=whole(CLASSES, always=True),
        weight=real(0.15, 1, 1e-9),
        grid=whole(1, 2, 3, always=True),
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
NUMBERS = st.floats() | st.integers(-(2**40), 2**12) | st.integers(2**62, 2**70)
SCALARS = NUMBERS | st.text('aB_.1- ', max_size=6)
WILD = (  # arbitrary config values
    st.sampled_from(JUNK)
    | st.lists(SCALARS, max_size=3)
    | st.tuples(NUMBERS, NUMBERS)
    | st.dictionaries(st.sampled_from(['type', 'path', 'reading', 'a']), SCALARS, max_size=2)
)
