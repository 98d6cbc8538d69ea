"""TimmCosineLR against the scheduler of timm."""

import pytest
import torch
from mmengine.optim import LinearLR
from mmengine.registry import PARAM_SCHEDULERS
from timm.scheduler import CosineLRScheduler

from mixpro_mm.hooks.schedule import TimmCosineLR

RATE, STEPS, WARM_UP = 1e-3, 60, 8
MULTIPLES = (1.0, 0.1, 0.75**5)  # like paramwise_cfg or layer-wise decay


def optimizer(key):
    """Return an optimizer with three groups of other rates, by the key of mmengine ('lr') or timm ('lr_scale')."""
    parts = [RATE * n for n in MULTIPLES] if key == 'lr' else MULTIPLES
    groups = [{'params': [torch.nn.Parameter(torch.zeros(1))], key: part} for part in parts]
    return torch.optim.SGD(groups, lr=RATE)


def rates_of(optimizer):
    return torch.tensor([group['lr'] for group in optimizer.param_groups], dtype=torch.float64)


def released(warm_up=WARM_UP):
    """Return timm's rates (STEPS, groups)."""
    sgd, found = optimizer('lr_scale'), []
    settings = dict(lr_min=RATE / 100, warmup_t=warm_up, warmup_lr_init=RATE / 1000, t_in_epochs=False)
    scheduler = CosineLRScheduler(sgd, STEPS, **settings)
    for step in range(STEPS):
        scheduler.step_update(step)
        found.append(rates_of(sgd))
    return torch.stack(found)


def stepped(sgd, scheduler, steps=STEPS):
    """Return the rates (steps, groups) of a training."""
    found = []
    for _ in range(steps):
        found.append(rates_of(sgd))
        sgd.step()
        scheduler.step()
    return torch.stack(found)


def build(**settings):
    sgd = optimizer('lr')
    return sgd, TimmCosineLR(sgd, **dict(warmup=WARM_UP, end=STEPS, by_epoch=False) | settings)


def assert_close(rates, expected):
    torch.testing.assert_close(rates, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize('warm_up', [WARM_UP, 1, 0])
def test_every_step_is_that_of_timm_for_every_group(warm_up):
    found = stepped(*build(warmup=warm_up))
    assert_close(found, released(warm_up))
    assert found[:, 0].max() < RATE or warm_up == 0  # the cosine decays during the warm-up


def test_epochs_become_iterations():
    sgd = optimizer('lr')
    config = dict(type='mixpro_mm.TimmCosineLR', warmup=2, end=15, by_epoch=True, convert_to_iter_based=True)
    scheduler = PARAM_SCHEDULERS.build(config, default_args=dict(optimizer=sgd, epoch_length=4))
    assert (scheduler.by_epoch, scheduler.end) == (False, STEPS)
    assert_close(stepped(sgd, scheduler), released())


@pytest.mark.parametrize('stop', [3, WARM_UP, 41])
def test_it_resumes_where_it_stopped(stop):
    (sgd, first), (again, second) = build(), build()
    stepped(sgd, first, stop)
    second.load_state_dict(first.state_dict())
    again.load_state_dict(sgd.state_dict())
    assert_close(stepped(again, second, STEPS - stop), released()[stop:])


def test_it_starts_where_it_begins():
    found = stepped(*build(begin=5, end=STEPS + 5), STEPS + 5)
    assert_close(found[:5], RATE * torch.tensor([MULTIPLES] * 5, dtype=torch.float64))
    assert_close(found[5:], released())


@pytest.mark.parametrize(
    ('settings', 'sentence'),
    [
        (dict(warmup=20, end=20, by_epoch=False), 'warmup of 20 iterations in a schedule of 20:'),
        (dict(warmup=-1, end=10), 'warmup of -1 epochs in a schedule of 10:'),
        (
            dict(start_factor=1e-3, eta_min_ratio=-0.1, end=10),
            'eta_min_ratio of TimmCosineLR must be .* from 0 to 1, got -0.1',
        ),
        (dict(start_factor=2, end=10), 'start_factor of TimmCosineLR must be .* from 0 to 1, got 2'),
    ],
)
def test_what_does_not_fit_is_one_sentence(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        TimmCosineLR(optimizer('lr'), **settings)


def test_the_state_of_another_schedule_is_refused():
    other = LinearLR(optimizer('lr'), start_factor=0.5, end=10)
    with pytest.raises(ValueError, match='another learning rate schedule than TimmCosineLR'):
        build()[1].load_state_dict(other.state_dict())
