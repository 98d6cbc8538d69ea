"""Results of studies, runs, occlusion tests and benchmarks, found in folders; the logs of runs are mmengine's own."""

import json
import os
import shutil

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import METRICS, MODELS
from mmengine.runner import Runner

from mixpro_mm.reporting.collect import collect
from mixpro_mm.reporting.runs import run_records

RECORD = dict(
    task='classification', backbone='X', pretraining='mixpro', metric='top1', value=80.0, seed=0, config='a.py'
)
OCCLUSION = dict(
    kind='occlusion', label='deit', config='configs/robustness/deit-micro_occlusion_digits-8.py',
    checkpoint='work_dirs/deit-micro_mixpro_digits-8/epoch_25.pth', sha256='ab' * 32,
    settings=dict(protocol='naseer', grid=8),
    curves=dict(random=[dict(information_loss=x, top1=y, std=None) for x, y in ((0, 90.0), (0.5, 60.0), (0.75, 30.0))]),
)  # fmt: skip
BENCHMARK = dict(
    bars=[], device='a CPU', threads=1, cores=2, date='2026-01-01', settings=dict(batch=8),
    records=[
        dict(section='step', part='forward and backward', method='CutMix', backbone='deit-small', images_per_s=3.0,
             parameters_millions=22.0),
        dict(section='step', part='with optimizer', method='CutMix', backbone='deit-small', images_per_s=2.0,
             parameters_millions=22.0),
        dict(section='labelling', method='MixPro'),
    ],
)  # fmt: skip
CONFIG = """
model = dict(type='ToyModel')
train_dataloader = dict(dataset=[0, 1], sampler=dict(type='DefaultSampler', shuffle=False), batch_size=1, num_workers=0)
val_dataloader = test_dataloader = train_dataloader
val_evaluator = test_evaluator = dict(type='ToyMetric', reports=REPORTS)
train_cfg = dict(by_epoch=True, max_epochs=2, val_interval=1)
val_cfg, test_cfg = dict(), dict()
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
default_hooks = dict(logger=dict(type='LoggerHook', interval=1))
"""


class ToyModel(BaseModel):
    """Something to train; wraps another as a model of test-time augmentation does."""

    def __init__(self, module=None, **kwargs):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def forward(self, *inputs, mode='loss', **kwargs):
        return dict(loss=self.weight**2) if mode == 'loss' else [dict()]


class ToyMetric(BaseMetric):
    """Reports what its config says, a little more at every evaluation."""

    def __init__(self, reports):
        super().__init__()
        self.reports, self.count = reports, 0

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        self.count += 1
        return {name: value + (self.count - 1) / 100 for name, value in self.reports.items()}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Train or test as the toolkits' scripts do, in the layout of mim; the folders count up in time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(MODELS.module_dict, 'ToyModel', ToyModel)
    monkeypatch.setitem(METRICS.module_dict, 'ToyMetric', ToyMetric)
    count = iter(range(100))

    def run(name, metrics, checkpoint=None, seed=None, tta=False, work_dir=None):
        (tmp_path / f'{name}.py').write_text(CONFIG.replace('REPORTS', repr(metrics)))
        config = Config.fromfile(f'{name}.py')
        config.work_dir = str(work_dir or f'work_dirs/{name}')
        config.experiment_name = f'{tmp_path.name}-{name}-{next(count)}'
        if seed is not None:
            config.randomness = dict(seed=seed)
        if tta:
            config.model = dict(type='ToyModel', module=config.model)
        if checkpoint:
            config.load_from = checkpoint
        stamps = set(os.listdir(config.work_dir)) if os.path.isdir(config.work_dir) else set()
        runner = Runner.from_cfg(config)
        runner.test() if checkpoint else runner.train()
        (log_dir,) = {entry for entry in os.listdir(config.work_dir) if entry[:2] == '20'} - stamps
        stamp = f'20300101_{next(count):06d}'  # of one second, they would be in one folder
        logs = tmp_path / config.work_dir
        (logs / log_dir).rename(logs / stamp)
        if (logs / stamp / f'{log_dir}.json').exists():
            (logs / stamp / f'{log_dir}.json').rename(logs / stamp / f'{stamp}.json')
        return logs

    return run


def told(records):
    return {
        (os.path.basename(record['config']), record['metric']): (record['value'], record['from']) for record in records
    }


def test_the_last_validation_counts_until_there_is_a_test(run):
    logs = run('deit-micro_mixpro_digits', {'accuracy/top1': 70.0, 'other': 1.0}, seed=4)
    (record,) = run_records(logs)
    assert (record['task'], record['metric'], record['value'], record['seed']) == ('classification', 'top1', 70.01, 4)
    assert record['from'] == 'validation at step 2' and record['config'].endswith('deit-micro_mixpro_digits.py')
    assert record['source'].endswith('vis_data/scalars.json')
    run('deit-micro_mixpro_digits', {'accuracy/top1': 60.0}, f'{logs}/epoch_2.pth', seed=4)
    (record,) = collect([logs.parent]).records  # though it is lower: it is newer
    assert (record['value'], record['from'], record['seed']) == (60.0, 'test', 4)
    assert record['checkpoint'] == f'{logs}/epoch_2.pth'


def test_a_test_elsewhere_is_of_the_run_of_its_checkpoint(run):
    logs = run('mine', {'coco/bbox_mAP': 0.25, 'coco/segm_mAP_50': 0.5})
    elsewhere = run('mine', {'coco/bbox_mAP': 0.31}, f'{logs}/epoch_2.pth', work_dir='tests/a')
    found = collect([logs, elsewhere]).records
    assert told(found) == {
        ('mine.py', 'bbox_mAP'): (31.0, 'test'),
        ('mine.py', 'segm_mAP_50'): (51.0, 'validation at step 2'),
    }
    assert {record['seed'] for record in found} == {str(logs.resolve())}  # it has none, so its path


def test_two_runs_without_a_seed_are_two(run):
    first = run('mine', {'mIoU': 40.0}, work_dir='a/mine')
    second = run('mine', {'mIoU': 42.0}, work_dir='b/mine')
    found = collect([first.parent, second.parent]).records
    assert [record['value'] for record in found] == [40.01, 42.01] and len({record['seed'] for record in found}) == 2


def test_several_scales_and_the_suites_are_known_by_their_configs(run):
    weights = 'work_dirs/deit-small_mixpro_8xb128_in1k/epoch_300.pth'
    torch_file = run('deit-small_mixpro_8xb128_in1k', {'accuracy/top1': 81.0}) / 'epoch_300.pth'
    shutil.copy(torch_file.with_name('epoch_2.pth'), torch_file)
    run('segmenter', {'mIoU': 50.0}, weights)
    run('segmenter', {'mIoU': 51.0}, weights, tta=True)
    run('deit-small_imagenet-a', {'calibration/top1': 20.0, 'calibration/aurra': 30.0}, weights)
    run('deit-small_imagenet-o', {'ood/aupr': 22.0}, weights)
    run('deit-small_occlusion_in1k', {'accuracy/top1': 81.5, 'calibration/ece': 3.0}, weights)
    assert told(collect(['work_dirs']).records) == {
        ('segmenter.py', 'mIoU'): (50.0, 'test'),
        ('segmenter.py', 'mIoU (MS)'): (51.0, 'test'),
        ('deit-small_imagenet-a.py', 'A_top1'): (20.0, 'test'),
        ('deit-small_imagenet-a.py', 'A_aurra'): (30.0, 'test'),
        ('deit-small_imagenet-o.py', 'O_aupr'): (22.0, 'test'),
        ('deit-small_occlusion_in1k.py', 'ece'): (3.0, 'test'),
        ('deit-small_mixpro_8xb128_in1k.py', 'top1'): (81.01, 'validation at step 2'),
    }


def test_tests_of_two_checkpoints_in_one_folder_stay_apart(run):
    for name, value in (('deit-small_transmix_8xb128_in1k', 21.0), ('deit-small_mixpro_8xb128_in1k', 22.0)):
        weights = run(name, {'accuracy/top1': 80.0}) / 'epoch_2.pth'
        run('deit-small_imagenet-a', {'calibration/top1': value}, str(weights), seed=0)
    found = [record for record in collect(['work_dirs']).records if record['metric'] == 'A_top1']
    assert {os.path.basename(os.path.dirname(record['checkpoint'])): record['value'] for record in found} == {
        'deit-small_transmix_8xb128_in1k': 21.0, 'deit-small_mixpro_8xb128_in1k': 22.0,
    }  # fmt: skip


def test_configs_that_share_a_folder_are_told_apart_or_refused(run):
    logs = run('one', {'mIoU': 1.0}, work_dir='shared')
    run('two', {'mIoU': 2.0}, f'{logs}/epoch_2.pth', work_dir='shared')
    assert told(run_records(logs)) == {
        ('one.py', 'mIoU'): (1.01, 'validation at step 2'),
        ('two.py', 'mIoU'): (2.0, 'test'),
    }
    (logs / 'one.py').write_text('changed = 1\n')
    with pytest.raises(ValueError, match=r'may be a run of any of one\.py, two\.py: give each its own --work-dir\.'):
        run_records(logs)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def test_both_forms_of_results_and_each_file_once(tmp_path):
    write(tmp_path / 'old' / 'results.json', [RECORD])
    file = write(tmp_path / 'new' / 'results.json', dict(study=dict(title='t'), records=[dict(RECORD, seed=1)]))
    found = collect([tmp_path, tmp_path / 'old', file])
    assert [(record['seed'], record['source']) for record in found.records] == [
        (1, str(file)), (0, str(tmp_path / 'old' / 'results.json')),
    ]  # fmt: skip


def test_a_study_speaks_for_its_stages(tmp_path, run):
    logs = run('deit-micro_mixpro_digits', {'accuracy/top1': 70.0})
    write(logs / 'occlusion' / 'occlusion.json', OCCLUSION)
    assert len(collect([logs.parent]).records) == 2
    write(logs.parent / 'results.json', [RECORD])
    found = collect([logs.parent])
    assert [record['value'] for record in found.records] == [80.0] and found.occlusions == []


def test_an_occlusion_test_is_the_mean_over_its_points(tmp_path):
    file = write(tmp_path / 'occlusion.json', OCCLUSION)
    write(tmp_path / 'b' / 'occlusion.json', dict(OCCLUSION, settings=dict(protocol='count', grid=8)))
    first, second = collect([tmp_path]).records
    assert (first['metric'], first['value'], first['source']) == ('occlusion_random', 60.0, str(file))
    assert first['curve'] == [[0, 90.0], [0.5, 60.0], [0.75, 30.0]]
    assert second['metric'] == 'occlusion_random (count)'


def test_a_benchmark_gives_the_speed_that_table_2_means(tmp_path):
    write(tmp_path / '2026_any.json', BENCHMARK)
    found = collect([tmp_path])
    assert {record['metric']: record['value'] for record in found.records} == dict(speed=3.0, params=22.0)


@pytest.mark.parametrize(
    ('content', 'sentence'),
    [
        ('[{"task"', r'results\.json cannot be read: it is not whole\.'),
        (
            json.dumps([{'task': 'classification', 'value': 1}]),
            r'results\.json has a record without backbone, pretraining',
        ),
        (json.dumps([dict(RECORD, value='80')]), r'whose value is no number'),
        (json.dumps([]), r'Nothing to report in .+: no results\.json, occlusion\.json, benchmark or log of a test\.'),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path, content, sentence):
    (tmp_path / 'results.json').write_text(content)
    with pytest.raises(ValueError, match=sentence):
        collect([tmp_path])


def test_other_json_is_passed_over_or_refused_by_name(tmp_path):
    write(tmp_path / 'annotations.json', dict(images=[], records='none'))
    (tmp_path / 'half.json').write_text('{')
    write(tmp_path / 'results.json', [RECORD])
    assert len(collect([tmp_path]).records) == 1
    with pytest.raises(ValueError, match=r'annotations\.json holds no results'):
        collect([tmp_path / 'annotations.json'])
    with pytest.raises(ValueError, match='There is no file or folder'):
        collect([tmp_path / 'missing'])
