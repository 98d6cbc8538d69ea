"""Evaluations of the trained weights of a stage."""

import json

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mixpro_mm.study import stage
from mixpro_mm.study.plan import Plan, Stage
from mixpro_mm.study.runner import StudyRunner, is_finished
from tests.config_rows import CONFIGS

TRAIN = f"""
_base_ = '{CONFIGS}/digits/deit-micro_mixpro_digits.py'
train_dataloader = dict(batch_size=8, dataset=dict(indices=16))
val_dataloader = dict(dataset=dict(indices=60))
test_dataloader = val_dataloader
test_evaluator = dict(_delete_=True, type='mixpro_mm.CalibrationMetric', bin_size=20)
train_cfg = dict(max_epochs=1)
param_scheduler = []
custom_hooks = [dict(type='mixpro_mm.LabelingHook'), dict(type='EMAHook', momentum=0.01)]
visualizer = vis_backends = log_processor = None  # as in docs/examples/own_images.py
"""
EVALUATION = "_base_ = 'train.py'\ncustom_hooks = []\nmodel = dict(type='Other')  # replaced by that of the stage\n"


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp('stage')
    (root / 'train.py').write_text(TRAIN)
    (root / 'a.py').write_text(EVALUATION)
    arguments = [str(root / 'train.py'), '--work-dir', str(root / 'work' / 'pre'), '--seed', '3']
    threads = torch.get_num_threads()
    assert stage.main([*arguments, '--evaluate', 'A', str(root / 'a.py')]) == 0
    torch.set_num_threads(threads)
    return root


def test_tests_use_the_average_in_the_checkpoint(trained):
    """The Runner of the training would start a new average for the test."""
    done = json.loads((trained / 'work' / 'pre' / 'done.json').read_text())
    config = Config.fromfile(trained / 'a.py')
    config.model = Config.fromfile(trained / 'train.py').model
    config.work_dir, config.load_from = str(trained / 'direct'), done['checkpoint']
    direct = Runner.from_cfg(config).test()
    expected = {f'{prefix}{name}': value for name, value in direct.items() for prefix in ('', 'A/')}
    assert done['metrics'] == pytest.approx(expected, abs=1e-6)
    saved = torch.load(done['checkpoint'], weights_only=False)
    raw = {name.removeprefix('module.'): weight for name, weight in saved['ema_state_dict'].items()}
    config.work_dir, config.load_from = str(trained / 'raw'), str(trained / 'raw.pth')
    torch.save(dict(state_dict={name: raw[name] for name in saved['state_dict']}), config.load_from)
    assert Runner.from_cfg(config).test()['calibration/ece'] != pytest.approx(direct['calibration/ece'], abs=1e-3)


def test_a_stage_with_new_or_changed_evaluations(trained):
    def of(*evaluations, **options):
        tests = dict.fromkeys(evaluations, str(trained / 'a.py'))
        return Stage('pre', str(trained / 'train.py'), seed=3, evaluations=tests, **options)

    work = trained / 'work'
    assert is_finished(of('A'), work) and is_finished(of(), work)
    assert not is_finished(of('A', 'O'), work) and not is_finished(of('A', tta=True), work)
    runner = StudyRunner(Plan('T', (of('A'),), seed=0, jobs=1, config=''), work)
    runner.check_finished()
    (trained / 'a.py').write_text(EVALUATION + 'test_cfg = dict(fp16=False)\n')
    with pytest.raises(RuntimeError, match=r'stage pre .* evaluation A had another config'):
        runner.check_finished()
    runner.close()


def test_files_of_an_evaluation_must_exist_before_training(trained, tmp_path):
    dataset = dict(type='mixpro_mm.ImageNetO', data_root='no/o', imagenet_root='no/i')
    (tmp_path / 'o.py').write_text(f"test_dataloader = {dict(dataset=dataset)}\ntest_cfg = dict(checkpoint='dino.pth')")
    arguments = [str(trained / 'train.py'), '--work-dir', str(tmp_path / 'w')]
    with pytest.raises(FileNotFoundError, match=r'o\.py.* no/o, no/i, dino\.pth'):
        stage.main([*arguments, '--evaluate', 'O', f'{tmp_path}/o.py'])
    assert not list((tmp_path / 'w').iterdir())
