"""Fuzzing of all public parameters of mixing methods, labelings, hooks and losses.

Components are built or raise a message of the package. With ``-m long``, each case also trains two steps in a Runner.
``FUZZ_EXAMPLES=20000`` sets the number of trainings, ``FUZZ_SEED=1`` another seed; by default, cases are fixed.
"""

import os
from collections import Counter
from copy import deepcopy
from inspect import signature

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from mmpretrain.registry import MODELS

from mixpro_mm.labeling.rules import build_labeling
from mixpro_mm.registry import BATCH_AUGMENTS, HOOKS
from tests.fuzz.cases import COMPONENTS, arguments, drawn, public_parameters
from tests.fuzz.models import CLASSES, SOFT_LOSS, deit
from tests.fuzz.scene import check, train
from tests.fuzz.sentences import complaint
from tests.fuzz.values import PARAMETERS

CASES = int(os.environ.get('FUZZ_EXAMPLES', 600))
SEED = os.environ.get('FUZZ_SEED')
TALLY: dict[str, Counter] = {}
BUILD = dict(augment=BATCH_AUGMENTS.build, labeling=build_labeling, hook=HOOKS.build, loss=MODELS.build)
SETTINGS = dict(
    derandomize=SEED is None, database=None, deadline=None, phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp('fuzz') / 'deit.pth'
    torch.save(dict(state_dict=MODELS.build(deit((32, 32), CLASSES, SOFT_LOSS)).state_dict()), path)
    return str(path)


def test_every_parameter_is_fuzzed():
    assert {name: set(known) for name, known in PARAMETERS.items()} == {
        name: set(public_parameters(cls)) for name, (_, cls) in COMPONENTS.items()
    }


@pytest.mark.parametrize('name', COMPONENTS)
def test_a_component_is_built_or_raises(name):
    kind, cls = COMPONENTS[name]

    @settings(max_examples=40, **SETTINGS)
    @given(arguments(name))
    def fuzz(found):
        kwargs, expected = found
        try:
            BUILD[kind](dict(deepcopy(kwargs), type=name if kind == 'labeling' else f'mixpro_mm.{name}'))
        except Exception as error:
            wrong = complaint(error, {**defaults(cls), **kwargs}, (name,))
            assert wrong is None, f'{wrong}: {type(error).__name__}: {error}'
            assert expected != 'trains', f'valid arguments are refused: {error}'

    (fuzz if SEED is None else seed(int(SEED))(fuzz))()


@pytest.mark.long
@pytest.mark.parametrize('name', COMPONENTS)
def test_a_config_trains_or_raises(name, checkpoint, tmp_path):
    outcomes = TALLY[name] = Counter()

    @settings(max_examples=max(1, round(CASES / len(COMPONENTS))), **SETTINGS)
    @given(drawn(name, checkpoint))
    def fuzz(case):
        outcomes[outcome(case, tmp_path)] += 1

    (fuzz if SEED is None else seed(int(SEED))(fuzz))()


def outcome(found, folder) -> str:
    """Return 'trained' or 'refused'."""
    try:
        runner, witness = train(found.case, folder)
    except Exception as error:
        size = 'x'.join(map(str, found.case.batch.size))
        backbone = found.case.model['backbone']['type'].removeprefix('mixpro_mm.')
        wrong = complaint(error, {**defaults(COMPONENTS[found.name][1]), **found.kwargs}, (found.name, size, backbone))
        assert wrong is None, f'{wrong}: {type(error).__name__}: {error}'
        assert found.expected != 'trains', f'valid arguments are refused: {error}'
        return 'refused'
    assert found.expected != 'refused', 'an invalid argument is accepted'
    check(found.case, runner, witness, found.name == 'TokenMix')
    return 'trained'


def defaults(cls) -> dict:
    return {name: parameter.default for name, parameter in signature(cls).parameters.items()}


@pytest.mark.long
def test_at_least_500_cases_ran():
    total = sum(TALLY.values(), Counter())
    print('\n'.join(f'{name}: {dict(outcomes)}' for name, outcomes in TALLY.items()), f'\nin all: {dict(total)}')
    assert set(TALLY) == set(COMPONENTS), 'run the whole file to count its cases'
    assert total.total() >= min(500, CASES)
    assert min(total['trained'], total['refused']) >= 0.3 * total.total()
