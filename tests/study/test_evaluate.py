"""Evaluations of the trained weights of a stage."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mixpro_mm.study import stage
from mixpro_mm.study.plan import Plan, Stage
from mixpro_mm.study.runner import StudyRunner, is_finished

DIGITS = Path(__file__).parents[2] / 'configs' / 'digits'
TRAIN = f"""
_base_ = '{DIGITS}/deit-micro_mixpro_digits.py'
train_dataloader = dict(batch_size=8, dataset=dict(indices=16))
val_dataloader = dict(dataset=dict(indices=8))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=1)
param_scheduler = []
"""
CALIBRATION = """
_base_ = 'train.py'
test_dataloader = dict(dataset=dict(indices=60))
test_evaluator = dict(_delete_=True, type='mixpro_mm.CalibrationMetric', bin_size=20)
"""


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp('stage')
    # as in docs/examples/own_images.py
    (root / 'train.py').write_text(TRAIN + 'visualizer = vis_backends = log_processor = None\n')
    (root / 'a.py').write_text(CALIBRATION)
    arguments = [str(root / 'train.py'), '--work-dir', str(root / 'work' / 'pre'), '--seed', '3']
    threads = torch.get_num_threads()
    assert stage.main([*arguments, '--evaluate', 'A', str(root / 'a.py')]) == 0
    torch.set_num_threads(threads)
    return root


def of(root, **changes):
    row = dict(name='pre', config=str(root / 'train.py'), task='classification', backbone='DeiT', pretraining='mixpro')
    return Stage(**row | dict(seed=3, evaluations={'A': str(root / 'a.py')}) | changes)


def test_the_evaluation_tests_the_trained_weights(trained):
    done = json.loads((trained / 'work' / 'pre' / 'done.json').read_text())
    config = Config.fromfile(trained / 'a.py')
    config.work_dir, config.load_from = str(trained / 'direct'), done['checkpoint']
    direct = Runner.from_cfg(config).test()
    assert set(direct) == {f'calibration/{name}' for name in (
        'top1', 'rms_calibration_error', 'rms_calibration_error_full', 'aurra', 'ece',
    )}  # fmt: skip
    evaluated = {name: value for name, value in done['metrics'].items() if name.startswith('A/')}
    assert evaluated == {f'A/{name}': pytest.approx(value, abs=1e-6) for name, value in direct.items()}
    assert set(done['metrics']) - set(evaluated) == {'accuracy/top1'}


@pytest.mark.long
def test_tests_use_the_average_in_the_checkpoint(tmp_path):
    """The Runner of the training would start a new average for the test."""
    evaluator = "test_evaluator = dict(_delete_=True, type='mixpro_mm.CalibrationMetric', bin_size=4)\n"
    average = "custom_hooks = [dict(type='EMAHook', momentum=0.01)]\n"
    (tmp_path / 'train.py').write_text(TRAIN + evaluator + average)
    (tmp_path / 'plain.py').write_text("_base_ = 'train.py'\ncustom_hooks = []\n")
    threads = torch.get_num_threads()
    arguments = [str(tmp_path / 'train.py'), '--work-dir', str(tmp_path / 'w')]
    assert stage.main([*arguments, '--evaluate', 'A', str(tmp_path / 'plain.py')]) == 0
    torch.set_num_threads(threads)
    done = json.loads((tmp_path / 'w' / 'done.json').read_text())
    of_stage, of_checkpoint = (done['metrics'][f'{name}calibration/ece'] for name in ('', 'A/'))
    assert of_stage == pytest.approx(of_checkpoint, abs=1e-6)

    saved = torch.load(done['checkpoint'], weights_only=False)
    raw = {name.removeprefix('module.'): weight for name, weight in saved['ema_state_dict'].items()}
    torch.save(dict(state_dict={name: raw[name] for name in saved['state_dict']}), tmp_path / 'raw.pth')
    config = Config.fromfile(tmp_path / 'plain.py')
    config.work_dir, config.load_from = str(tmp_path / 'raw'), str(tmp_path / 'raw.pth')
    assert Runner.from_cfg(config).test()['calibration/ece'] != pytest.approx(of_stage, abs=1e-3)


def test_a_stage_without_a_new_evaluation_is_unfinished(trained):
    assert is_finished(of(trained), trained / 'work')
    assert is_finished(of(trained, evaluations={}), trained / 'work')
    more = {'A': str(trained / 'a.py'), 'O': str(trained / 'a.py')}
    assert not is_finished(of(trained, evaluations=more), trained / 'work')


def test_an_evaluation_with_another_config_is_an_error(trained):
    plan = Plan('T', (of(trained),), seed=0, jobs=1, config='')
    runner = StudyRunner(plan, trained / 'work')
    try:
        runner.check_finished()
        with (trained / 'a.py').open('a') as config:
            config.write('test_cfg = dict(fp16=False)\n')
        with pytest.raises(RuntimeError, match=r'stage pre .* evaluation A had another config'):
            runner.check_finished()
    finally:
        runner.close()
        (trained / 'a.py').write_text(CALIBRATION)


def test_files_of_an_evaluation_must_exist_before_training(tmp_path):
    (tmp_path / 'train.py').write_text(TRAIN)
    (tmp_path / 'o.py').write_text(
        "test_dataloader = dict(dataset=dict(type='mixpro_mm.ImageNetO', data_root='no/o', imagenet_root='no/i'))\n"
        "test_cfg = dict(saliency=dict(checkpoint='dino.pth'))\n"
    )
    arguments = [str(tmp_path / 'train.py'), '--work-dir', str(tmp_path / 'w')]
    with pytest.raises(FileNotFoundError, match=r'o\.py.* no/o, no/i, dino\.pth'):
        stage.main([*arguments, '--evaluate', 'O', f'{tmp_path}/o.py'])
    assert not list((tmp_path / 'w').iterdir())
