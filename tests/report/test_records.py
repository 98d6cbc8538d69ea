"""Tests of the records collected from studies, logs of runs, occlusion tests and benchmarks."""

import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import METRICS, MODELS
from mmengine.runner import Runner

from mixpro_mm.report.paper import read_paper
from mixpro_mm.report.records import collect, logged_settings, normalised, run_records
from tests.report.made_up import occlusion, stage, study_record, write

CONFIG = """
model = dict(type='ToyModel')
train_dataloader = dict(dataset=[0, 1], sampler=dict(type='DefaultSampler', shuffle=False), batch_size=1, num_workers=0)
val_dataloader = test_dataloader = train_dataloader
val_evaluator = test_evaluator = dict(type='ToyMetric')
randomness = dict(seed=4)
train_cfg = dict(by_epoch=True, max_epochs=2, val_interval=1)
val_cfg, test_cfg = dict(), dict()
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
default_hooks = dict(logger=dict(type='LoggerHook', interval=1))
"""


class ToyModel(BaseModel):
    def __init__(self, **kwargs):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def forward(self, *inputs, mode='loss', **kwargs):
        return dict(loss=self.weight**2) if mode == 'loss' else [dict()]


class ToyMetric(BaseMetric):
    count = 0

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        self.count += 1
        return {'accuracy/top1': 70 + (self.count - 1) / 100, 'other': 1.0}


def values(records):
    return {(Path(r['config']).name, r['metric']): (r['value'], r['from']) for r in records}


def test_logs_of_mmengine_are_read(tmp_path, monkeypatch):
    """The last validation counts until there is a test, even a lower one."""
    monkeypatch.setitem(MODELS.module_dict, 'ToyModel', ToyModel)
    monkeypatch.setitem(METRICS.module_dict, 'ToyMetric', ToyMetric)
    (tmp_path / 'mine.py').write_text(CONFIG)
    work_dir = tmp_path / 'work' / 'mine'
    for weights in (None, str(work_dir / 'epoch_2.pth')):
        config = Config.fromfile(tmp_path / 'mine.py')
        config.update(work_dir=str(work_dir), load_from=weights, experiment_name=f'{tmp_path.name}-{weights is None}')
        runner = Runner.from_cfg(config)
        runner.test() if weights else runner.train()
        (logs,) = [folder for folder in work_dir.iterdir() if folder.is_dir() and folder.name != '20000101_000000']
        if not weights:
            logs.rename(work_dir / '20000101_000000')  # two starts in one second would share a folder
        (record,) = collect([tmp_path / 'work'])
        found = [record[key] for key in ('task', 'metric', 'seed', 'training', 'name', 'checkpoint', 'config')]
        assert found == ['classification', 'top1', 4, 'mine', 'mine', weights, str(work_dir / 'mine.py')]
        expected = (70.0, 'test', f'{logs.name}.json') if weights else (70.01, 'validation at step 2', 'scalars.json')
        assert (record['value'], record['from'], Path(record['source']).name) == expected


def test_a_test_in_another_folder_belongs_to_the_training_of_its_checkpoint(tmp_path):
    logs = stage(tmp_path / 'mine', 'mine', {'coco/bbox_mAP': 0.25, 'coco/segm_mAP_50': 0.5}, seed=None)
    elsewhere = stage(tmp_path / 'tests' / 'a', 'mine', {'coco/bbox_mAP': 0.31}, None, str(logs / 'e.pth'))
    found = collect([logs, elsewhere])
    assert values(found) == {
        ('mine.py', 'bbox_mAP'): (31.0, 'test'),
        ('mine.py', 'segm_mAP_50'): (50.0, 'validation at step 1'),
    }
    assert {record['seed'] for record in found} == {str(logs.resolve())}  # the folder replaces a missing seed


def test_configs_that_share_a_folder(tmp_path):
    logs = stage(tmp_path, 'one', {'mIoU': 1.0})
    stage(tmp_path, 'two', {'mIoU': 2.0}, load_from=str(logs / 'e.pth'), start=1)
    assert values(run_records(logs)) == {
        ('one.py', 'mIoU'): (1.0, 'validation at step 1'),
        ('two.py', 'mIoU'): (2.0, 'test'),
    }
    (logs / 'one.py').write_text('changed = 1\n')
    with pytest.raises(ValueError, match=r'may be a run of any of one\.py, two\.py: use one --work-dir per config'):
        list(run_records(logs))


@pytest.mark.parametrize('copied', [False, True])
def test_the_newest_test_of_a_stage_counts(tmp_path, copied):
    logs = stage(tmp_path / 'study' / 'deit_mixpro_s2', 'mine', {'accuracy/top1': 70.0}, seed=2)
    weights = str(logs / 'e.pth')
    stage(logs, 'mine', {'accuracy/top1': 71.0}, 2, weights, start=1)
    if copied:  # its paths still point to the original
        logs = shutil.copytree(logs, tmp_path / 'copy' / logs.name)
    assert [record['value'] for record in collect([logs.parent])] == [71.0]
    stage(logs / 'test', 'mine', {'accuracy/top1': 72.0}, 2, weights, start=2)
    (record,) = collect([logs.parent])
    assert (record['value'], record['seed'], record['name']) == (72.0, 2, 'deit_mixpro')


def test_a_renamed_run_is_one_run(tmp_path):
    logs = stage(tmp_path / 'a', 'mine', {'accuracy/top1': 70.0})
    stage(logs, 'mine', {'accuracy/top1': 71.0}, load_from=str(logs / 'e.pth'), start=1).rename(tmp_path / 'b')
    assert [(record['value'], record['name']) for record in collect([tmp_path])] == [(71.0, 'b')]


def test_only_constants_with_a_name_are_read(tmp_path):
    (tmp_path / 'a.py').write_text("a, b = 1, 2\nc = dict(d='e', f=[1])\n")
    assert logged_settings(tmp_path / 'a.py') == dict(c=dict(d='e', f=None))


def test_tests_at_several_scales_and_of_robustness(tmp_path):
    weights = str(stage(tmp_path / 'training', 'deit-small_mixpro_8xb128_in1k', {'accuracy/top1': 81.0}) / 'e.pth')
    recorded, occluded = 'mixpro_mm.RecordedTestLoop', 'mixpro_mm.OcclusionTestLoop'
    suites = (
        ('segmenter', 'Digits', None, {'mIoU': 50.0}),
        ('any', 'mixpro_mm.ImageNetA', recorded, {'calibration/top1': 20.0, 'calibration/aurra': 3}),
        ('name', 'mixpro_mm.ImageNetO', recorded, {'ood/aupr': 22.0}),
        ('other', 'ImageNet', occluded, {'accuracy/top1': 81.5, 'calibration/ece': 3.0}),
    )
    for name, data, loop, metrics in suites:
        stage(tmp_path / 'tests' / name, name, metrics, 0, weights, data=data, loop=loop)
    stage(tmp_path / 'tests' / 'segmenter', 'segmenter', {'mIoU': 51.0}, 0, weights, tta=True, start=1)
    found = collect([tmp_path])
    assert {key: value for key, (value, _) in values(found).items()} == {
        ('segmenter.py', 'mIoU'): 50.0, ('segmenter.py', 'mIoU (MS)'): 51.0, ('any.py', 'A_top1'): 20.0,
        ('any.py', 'A_aurra'): 3.0, ('name.py', 'O_aupr'): 22.0, ('other.py', 'ece'): 3.0,
        ('deit-small_mixpro_8xb128_in1k.py', 'top1'): 81.0,
    }  # fmt: skip
    (aurra,) = [record for record in found if record['metric'] == 'A_aurra']
    assert read_paper().cells(aurra) == [('', 'table5', 'mixpro', 'A_aurra')]


def test_both_forms_of_results_and_each_file_once(tmp_path):
    old = write(tmp_path / 'old' / 'results.json', [study_record(pretraining='MixPro')])
    file = write(tmp_path / 'new' / 'results.json', dict(study=dict(title='t'), records=[study_record(seed=1)]))
    write(tmp_path / 'annotations.json', dict(images=[], records='none'))
    (tmp_path / 'half.json').write_text('{')
    write(tmp_path / 'large.json', occlusion('a.py') | dict(more=' ' * 2**22))
    found = [(r['seed'], r['pretraining'], r['source']) for r in collect([tmp_path, tmp_path / 'old', file])]
    assert found == [(1, 'mixpro', str(file)), (0, 'mixpro', str(old))]


def test_a_study_replaces_the_logs_of_its_stages(tmp_path):
    logs = stage(tmp_path / 'study' / 'mine', 'mine', {'accuracy/top1': 70.0})
    write(logs / 'occlusion' / 'occlusion.json', occlusion('a.py'))
    assert len(collect([logs.parent])) == 4
    write(logs.parent / 'results.json', dict(records=[study_record()]))
    assert [record['value'] for record in collect([tmp_path, logs.parent])] == [80.0]


def test_the_value_of_a_curve_is_the_mean_over_occluded_points(tmp_path):
    assert normalised(study_record(value=1.0, curve=[[0.0, 90.0], [0.5, 60.0], [0.75, 30.0]]))['value'] == 45.0
    file = write(tmp_path / 'occlusion.json', occlusion('deit.py'))
    write(tmp_path / 'b' / 'occlusion.json', occlusion('deit.py') | dict(settings=dict(protocol='count', grid=8)))
    records = collect([tmp_path])
    assert len(records) == 6 and {record['value'] for record in records} == {45.0}
    first, other = records[0], records[3]
    assert (first['metric'], first['source'], first['name']) == ('occlusion_random', str(file), 'mine')
    assert first['protocol'] != other['protocol'] and other['metric'] == 'occlusion_random (count)'


def test_an_occlusion_test_is_named_by_its_label_or_its_training(tmp_path):
    for name, label, training in (('a_s1', 'test', 'vit'), ('b_s1', 'wide', 'vit'), ('c_s1', 'test', None)):
        if training:
            stage(tmp_path / name, training, seed=1)
        content = occlusion('configs/test.py', label, checkpoint=f'/gone/{name}/e.pth')
        write(tmp_path / name / 'occlusion' / 'occlusion.json', content)
    found = {(r['name'], r['training'], isinstance(r['seed'], int)) for r in collect([tmp_path])}
    assert found == {('a', 'vit', True), ('wide', 'vit', True), ('c_s1', None, False)}


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('results', '[{"task"', r'results\.json cannot be read'),
        ('results', '[{"task": "classification", "value": 1}]', r'results\.json .* without backbone, pretraining'),
        ('results', '[{"task": "a"}, {"task": "b"}]', r'without backbone, pretraining, metric, value: '),
        ('occlusion', '{"kind": "occlusion", "curves": {}}', r'occlusion\.json is incomplete: it has no '),
        ('benchmark', '{"device": "a CPU", "records": []}', r'benchmark\.json is incomplete: it has no '),
        ('results', '[]', r'nothing to report in .+results\.json'),
        ('other', '{"images": []}', r'other\.json has no results'),
        ('other', None, r'no such file or folder: .+other\.json'),
    ],
)
def test_unusable_files_raise(tmp_path, name, content, message):
    if content:
        (tmp_path / f'{name}.json').write_text(content)
    with pytest.raises(ValueError, match=message):
        collect([tmp_path / f'{name}.json'])
