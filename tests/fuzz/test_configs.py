"""Fuzzing of all public parameters of mixing methods, labelings, hooks and losses.

Components are built or raise a message of the package. With ``-m long``, each case also trains two steps in a Runner.
``FUZZ_EXAMPLES=20000`` sets the number of trainings, ``FUZZ_SEED=1`` another seed; by default, cases are fixed.
"""

import itertools
import math
import os
from copy import deepcopy
from functools import cache
from inspect import signature

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from mmengine.hooks import CheckpointHook
from mmengine.visualization import Visualizer

import mixpro_mm.plugin  # noqa: F401  registers everything
from mixpro_mm.functional.lam import linear_factor
from mixpro_mm.labeling.rules import LABELINGS, build_labeling
from mixpro_mm.models import LossWrapper
from mixpro_mm.registry import BATCH_AUGMENTS, HOOKS, MODELS
from mixpro_mm.utils.arguments import positive
from tests.conftest import globals_kept
from tests.fuzz.sentences import complaint
from tests.fuzz.values import PARAMETERS, WILD
from tests.micro import CLASSES, STOCK, KeepBatches, Samples, count_hooks, lively, pvt, train, vit

CASES = int(os.environ.get('FUZZ_EXAMPLES', 600))
SEED = os.environ.get('FUZZ_SEED')
KINDS = dict(
    augment=BATCH_AUGMENTS.module_dict,
    labeling=LABELINGS,
    hook={name: cls for name, cls in HOOKS.module_dict.items() if name == cls.__name__},
    loss={name: cls for name, cls in MODELS.module_dict.items() if issubclass(cls, LossWrapper)},
)
COMPONENTS = {name: (kind, cls) for kind, classes in KINDS.items() for name, cls in classes.items()}
BUILD = dict(augment=BATCH_AUGMENTS.build, labeling=build_labeling, hook=HOOKS.build, loss=MODELS.build)
MEMORY = {'in_channels', 'num_classes'}  # large values take memory, not an error
LARGE, SMALL = [(32, 32), (32, 48), (64, 32)], [(8, 8), (17, 23), (9, 40)]
QUERIES = ('LabelingHook', 'SMMix', 'TokenMix')  # not for CASwin
HIDDEN = ('ManifoldMixup', 'MixToken')  # tested with the tokens of a ViT
INSISTING = ('MixPro', 'MixToken', 'PuzzleMix', 'SMMix', 'TokenMix')  # require the LabelingHook


def fuzz(strategy, examples):
    """Return a decorator that runs a function for the examples."""

    def decorate(function):
        given_examples = settings(
            max_examples=examples,
            derandomize=SEED is None,
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )(given(strategy)(function))
        (given_examples if SEED is None else seed(int(SEED))(given_examples))()

    return decorate


def parameters(name):
    """Return the arguments of a class with its own ``__init__`` and their defaults."""
    cls = COMPONENTS[name][1]
    own = getattr(cls.__init__, '__module__', '').startswith('mixpro_mm')
    return {key: value.default for key, value in signature(cls).parameters.items()} if own else {}


@st.composite
def arguments(draw, name):
    """Draw arguments and the expected outcome: 'valid', 'refused' or 'either'."""
    known = PARAMETERS[name]
    takes_any_key = issubclass(COMPONENTS[name][1], CheckpointHook)
    plan = draw(st.sampled_from(['good'] * 4 + ['wild'] * 3 * bool(known) + ['misspelt'] * (not takes_any_key)))
    spoiled = ()
    if plan == 'wild':
        spoiled = draw(st.sets(st.sampled_from(sorted({*known} - MEMORY)), min_size=1, max_size=2))
    kwargs, expected = {}, 'valid'
    for key, parameter in known.items():
        if key in spoiled:
            kwargs[key] = draw(WILD)
            refused = expected == 'refused' or not parameter.accepts(kwargs[key])
            expected = 'refused' if refused else 'either'
        elif parameter.always or draw(st.booleans()):
            kwargs[key] = draw(st.sampled_from(parameter.good))
    if plan == 'misspelt':
        right = draw(st.sampled_from(sorted(known) or ['alpha']))
        kwargs[draw(st.sampled_from([right[:-1], right.upper(), f'{right}s']))] = kwargs.pop(right, 1)
        expected = 'refused'
    return kwargs, expected


def check_refused(error, expected, names):
    wrong = complaint(error, names)
    assert wrong is None, f'{wrong}: {type(error).__name__}: {error}'
    assert expected != 'valid', f'valid arguments are refused: {error}'


def test_every_parameter_is_fuzzed():
    assert {name: {*known} for name, known in PARAMETERS.items()} == {name: {*parameters(name)} for name in COMPONENTS}


@pytest.mark.parametrize('name', COMPONENTS)
def test_a_component_is_built_or_raises(name):
    kind = COMPONENTS[name][0]

    @fuzz(arguments(name), 40)
    def build(drawn):
        kwargs, expected = drawn
        try:
            BUILD[kind](dict(deepcopy(kwargs), type=name if kind == 'labeling' else f'mixpro_mm.{name}'))
        except Exception as error:
            check_refused(error, expected, [name, *parameters(name), *kwargs])


visualizer = cache(lambda: Visualizer(name='fuzz'))  # creating one takes longer than a step
serial = itertools.count()


def swin(loss, img_size):
    arch = dict(embed_dims=8, depths=(1, 2), num_heads=(1, 2))
    return dict(
        type='ImageClassifier',
        backbone=dict(type='mixpro_mm.CASwin', arch=arch, img_size=img_size, window_size=2, pad_small_map=True),
        head=dict(type='LinearClsHead', num_classes=CLASSES, in_channels=16, loss=loss),
    )


@st.composite
def cases(draw, name):
    """Draw a component, a micro classifier, its hooks and a batch."""
    kind = COMPONENTS[name][0]
    kwargs, expected = draw(arguments(name))
    large = kind == 'hook' or draw(st.booleans())
    size = draw(st.sampled_from(LARGE if large else SMALL)) if name != 'TransferCheckHook' else (32, 32)
    component = dict(kwargs, type=f'mixpro_mm.{name}')
    augment = component if kind == 'augment' else dict(type='mixpro_mm.MaskMix', patch_size=8, mask_scale=1)
    labeling = draw(st.sampled_from(['AreaLabeling', 'AttentionLabeling', 'ProgressiveAttentionLabeling', None]))
    if kind == 'labeling':
        labeling = dict(kwargs, type=name)
    elif name == 'LearnableFactor':
        labeling = dict(type='ProgressiveAttentionLabeling', factor='learnable')
    elif name == 'ManifoldMixup':
        labeling = 'AreaLabeling'
    elif name in INSISTING:
        labeling = labeling or 'AreaLabeling'
    hooks = [dict(type='EMAHook')] if name == 'TokenMix' else []
    hooks += [dict(type='mixpro_mm.LabelingHook', labeling=labeling)] if labeling and name != 'LabelingHook' else []
    hooks += [component] if kind == 'hook' else []
    only_vit = kind == 'loss' or name in ('TransferCheckHook', *HIDDEN)
    backbones = [vit] if only_vit else [vit, pvt, *[swin] * (name not in QUERIES)]
    build = draw(st.sampled_from(backbones))
    model = build(component if kind == 'loss' else dict(type='CrossEntropyLoss', use_soft=True), img_size=size)
    batch = draw(st.sampled_from([1, 2, 3, 7])), size, draw(st.booleans())
    return model, augment, hooks, batch, kwargs, expected if large or expected == 'refused' else 'either'


def samples(count, size, soft):
    """Return labels (2 * count, CLASSES) and the data of two batches."""
    labels = torch.eye(CLASSES)[torch.arange(2 * count) % CLASSES]
    data = [dict(sample) for sample in (Samples(2 * count, size)[index] for index in range(2 * count))]
    if soft:
        labels = torch.rand(2 * count, CLASSES, generator=torch.Generator().manual_seed(count)).softmax(dim=1)
        for sample, label in zip(data, labels, strict=True):
            sample['data_samples'].set_gt_score(label)
    return labels, data


@pytest.mark.long
@pytest.mark.parametrize('name', COMPONENTS)
def test_a_config_trains_or_raises(name, tmp_path, monkeypatch):
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)
    torch.save(dict(state_dict=lively(vit(STOCK)).state_dict()), tmp_path / 'vit.pth')
    more = dict(load_from=str(tmp_path / 'vit.pth')) if name == 'TransferCheckHook' else {}

    trained = []

    @fuzz(cases(name), math.ceil(CASES / len(COMPONENTS)))
    def run(case):
        config, augment, hooks, (count, size, soft), kwargs, expected = case
        labels, data = samples(count, size, soft)
        try:
            with globals_kept():
                model = lively(config, dict(augments=augment))
                kept, before = KeepBatches(model), count_hooks(model)
                weights = deepcopy(model.state_dict())
                train(model, tmp_path, *deepcopy(hooks), data=data, batch_size=count, visualizer=visualizer(),
                      experiment_name=f'fuzz-{next(serial)}', log_level='CRITICAL', **more)  # fmt: skip
        except Exception as error:
            backbone = config['backbone']['type'].removeprefix('mixpro_mm.')
            check_refused(error, expected, [name, *parameters(name), *kwargs, 'x'.join(map(str, size)), backbone])
            return
        assert expected != 'refused', 'an invalid argument is accepted'
        assert len(kept.losses) == 2 and all(map(math.isfinite, kept.losses)), kept.losses
        after = model.state_dict()
        assert all(value.isfinite().all() for value in after.values()), 'a weight is not finite'
        assert any(not torch.equal(after[key], value) for key, value in weights.items()), 'no weight changed'
        assert count_hooks(model) == before, 'a hook was left on the model'
        for target, given_labels in zip(kept.targets, labels.split(count), strict=True):
            check_labels(target.float(), given_labels, free_sum=name == 'TokenMix')
        trained.append(kwargs)

    assert trained, 'every case was refused'


def check_labels(target, given_labels, free_sum=False):
    """Check that labels are finite, non-negative, within those of the batch, and sum to one."""
    assert target.isfinite().all() and (target >= 0).all(), target
    assert (target <= given_labels.amax(dim=0) * (2 if free_sum else 1) + 1e-3).all(), target
    if not free_sum:
        torch.testing.assert_close(target.sum(dim=1), torch.ones(len(target)), atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    ('call', 'reason'),
    [
        (lambda: positive('alpha', 'x'), None),
        (lambda: positive('beta', 'x'), 'no name of alpha'),
        (lambda: positive('alpha\n', 'x'), 'multi-line message'),
        (lambda: torch.zeros(2) @ torch.zeros(3), 'not raised by the package'),
        (lambda: linear_factor('x'), 'not raised by the package'),  # a comparison in the package
        (lambda: [][1], 'unexpected IndexError'),
        (lambda: BATCH_AUGMENTS.build(dict(type='mixpro_mm.MaskMix', alhpa=1)), None),
        (lambda: BATCH_AUGMENTS.build(dict(type='mixpro_mm.MaskMx')), None),
        (lambda: MODELS.build(dict(type='')), None),
    ],
)
def test_other_errors_than_those_of_the_package_are_found(call, reason):
    with pytest.raises(Exception) as caught:
        call()
    found = complaint(caught.value, ['alpha'])
    assert found is None if reason is None else reason in found
