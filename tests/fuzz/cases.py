"""Random cases: arguments of a component (valid, wild or misspelt) and a config to train."""

from inspect import signature
from typing import Any, NamedTuple

from hypothesis import strategies as st
from mmengine.hooks import CheckpointHook

import mixpro_mm.plugin  # noqa: F401  registers everything
from mixpro_mm.labeling.rules import LABELINGS
from mixpro_mm.models import LossWrapper
from mixpro_mm.registry import BATCH_AUGMENTS, HOOKS, MODELS
from tests.fuzz.models import CLASSES, SIGMOID_LOSS, SOFT_LOSS, deit, pvt, swin
from tests.fuzz.scene import Batch, Case
from tests.fuzz.values import PARAMETERS, light, wild

__all__ = ['COMPONENTS', 'Drawn', 'arguments', 'drawn', 'public_parameters']

KINDS = dict(
    augment=BATCH_AUGMENTS.module_dict,
    labeling=LABELINGS,
    hook={name: cls for name, cls in HOOKS.module_dict.items() if name == cls.__name__},
    loss={name: cls for name, cls in MODELS.module_dict.items() if issubclass(cls, LossWrapper)},
)
COMPONENTS = {name: (kind, cls) for kind, classes in KINDS.items() for name, cls in classes.items()}
LARGE = [(32, 32), (32, 48), (64, 32)]
SMALL = [(8, 8), (16, 16), (17, 23), (9, 40), (33, 31)]
LABELS = ['index', 'index', 'onehot', 'half', 'soft', 'multi']
WEIGHTS = ('in_channels', 'num_classes')  # sizes of layers, limited to save memory
QUERIES = ('LabelingHook', 'SMMix', 'TokenMix')  # not for every backbone
LABELED = ('MixPro', 'PuzzleMix', 'SMMix', 'TokenMix')  # require the hook


class Drawn(NamedTuple):
    name: str
    kwargs: dict[str, Any]
    case: Case
    expected: str  # 'trains', 'refused' or 'either'


def public_parameters(cls) -> list[str]:
    """Return the arguments of a class with its own ``__init__``."""
    own = getattr(cls.__init__, '__module__', '').startswith('mixpro_mm')
    return list(signature(cls).parameters) if own else []


@st.composite
def arguments(draw, name: str) -> tuple[dict[str, Any], str]:
    """Draw keyword arguments and the expected outcome."""
    known, cls = PARAMETERS[name], COMPONENTS[name][1]
    plans = ['good'] * 4 + ['wild'] * 3 * bool(known) + ['misspelt'] * (not issubclass(cls, CheckpointHook))
    plan = draw(st.sampled_from(plans))  # CheckpointHook accepts any key
    spoiled = draw(st.sets(st.sampled_from(sorted(known)), min_size=1, max_size=2)) if plan == 'wild' else set()
    kwargs, expected = {}, 'trains'
    for key, parameter in known.items():
        if key in spoiled:
            kwargs[key] = draw(wild().filter(light) if key in WEIGHTS else wild())
            if not parameter.accepts(kwargs[key]):
                expected = 'refused'
            elif expected == 'trains':
                expected = 'either'
        elif parameter.always or draw(st.booleans()):
            kwargs[key] = draw(st.sampled_from(parameter.good))
    if plan == 'misspelt':
        right = draw(st.sampled_from(sorted(known) or ['alpha']))
        value = kwargs.pop(right, 1)
        return {**kwargs, draw(st.sampled_from([right[:-1], right.upper(), f'{right}s'])): value}, 'refused'
    return kwargs, expected


@st.composite
def drawn(draw, name: str, checkpoint: str) -> Drawn:
    """Draw a case of a component; ``checkpoint`` is a file of the micro DeiT at 32 x 32 pixels."""
    kind = COMPONENTS[name][0]
    kwargs, expected = draw(arguments(name))
    large = kind == 'hook' or draw(st.booleans())
    size = draw(st.sampled_from(LARGE if large else SMALL))
    classes = CLASSES if kind == 'loss' else draw(st.sampled_from([1, 2, CLASSES, 11]))
    labels = draw(st.sampled_from(LABELS if classes > 1 else ['index', 'onehot']))
    batch = Batch(size, draw(st.sampled_from([1, 2, 3, 4, 7])), classes, labels)
    builders = [deit, deit, pvt, *[swin] * (name not in QUERIES)]
    build = draw(st.sampled_from([deit] if kind == 'loss' or name == 'TransferCheckHook' else builders))
    loss = SIGMOID_LOSS if classes == 1 or labels == 'multi' else SOFT_LOSS
    augment = dict(type='mixpro_mm.MaskMix', patch_size=8, mask_scale=1)
    labeling = draw(st.sampled_from(['AreaLabeling', 'AttentionLabeling', 'ProgressiveAttentionLabeling', None]))
    hooks = []
    if kind == 'augment':
        augment = dict(kwargs, type=f'mixpro_mm.{name}')
        labeling = labeling or ('AreaLabeling' if name in LABELED else None)
        hooks += [dict(type='EMAHook')] if name == 'TokenMix' else []
    elif kind == 'labeling':
        labeling = dict(kwargs, type=name)
    elif kind == 'loss':
        loss = dict(kwargs, type=f'mixpro_mm.{name}')
        learnable = dict(type='ProgressiveAttentionLabeling', factor='learnable')
        labeling = learnable if name == 'LearnableFactor' else labeling
    hooks += [dict(type='mixpro_mm.LabelingHook', labeling=labeling)] if labeling and name != 'LabelingHook' else []
    hooks += [dict(kwargs, type=f'mixpro_mm.{name}')] if kind == 'hook' else []
    if name == 'TransferCheckHook':
        batch = batch._replace(size=(32, 32), classes=CLASSES)
    model = dict(build(batch.size, batch.classes, loss), train_cfg=dict(augments=augment))
    case = Case(model, hooks, batch, checkpoint if name == 'TransferCheckHook' else None)
    return Drawn(name, kwargs, case, expected if large or expected == 'refused' else 'either')
