import pytest
from mmengine.config import Config

from mixpro_mm.study.estimate import RULE, gpu_hours, images_seen
from mixpro_mm.study.plan import Stage

EPOCHS = Config(dict(train_cfg=dict(max_epochs=300), train_dataloader=dict(batch_size=128)))
ITERATIONS = Config(dict(train_cfg=dict(max_iters=80_000), train_dataloader=dict(batch_size=4)))


def stage(**settings):
    return Stage(name='a', config='a.py', **settings)


def test_the_run_the_rule_is_taken_from_costs_what_the_paper_measured():
    # 300 x 1,281,167 images at 322 images/s: 1,193,634 s = 331.57 h
    deit_s = stage(gmacs=4.7, train_images=1_281_167, gpus=8)
    assert images_seen(deit_s, EPOCHS) == 384_350_100
    assert gpu_hours(deit_s, EPOCHS) == pytest.approx(331.57, abs=0.01)
    assert '322 images/s for DeiT-S, 4.7 G' in RULE and 'not a measurement' in RULE


def test_cost_grows_with_multiply_adds_and_iterations_count_all_gpus():
    assert images_seen(stage(gpus=4), ITERATIONS) == 1_280_000
    assert images_seen(stage(), ITERATIONS) == 320_000
    # 1,280,000 images x 32 G / (322 x 4.7 G) = 27,065 s
    assert gpu_hours(stage(gpus=4, gmacs=32), ITERATIONS) == pytest.approx(7.518, abs=0.001)


def test_what_is_not_known_is_not_estimated():
    assert images_seen(stage(gpus=8), EPOCHS) is None
    assert gpu_hours(stage(gmacs=4.7), EPOCHS) is None
    assert gpu_hours(stage(train_images=10), EPOCHS) is None
