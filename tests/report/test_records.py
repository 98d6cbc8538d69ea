"""Records of studies, runs, occlusion tests and benchmarks, found in folders; the logs of runs are mmengine's own."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import METRICS, MODELS
from mmengine.runner import Runner

from mixpro_mm.report.paper import CellKey, read_paper
from mixpro_mm.report.records import collect, normalised
from mixpro_mm.report.runs import Training, run_records, training_of
from tests.report.made_up import occlusion, stage, study_record, write

BENCHMARK = dict(
    device='a CPU', threads=1, cores=2, date='2026-01-01', settings=dict(batch=8),
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
val_evaluator = test_evaluator = dict(type='ToyMetric')
randomness = dict(seed=4)
train_cfg = dict(by_epoch=True, max_epochs=2, val_interval=1)
val_cfg, test_cfg = dict(), dict()
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
default_hooks = dict(logger=dict(type='LoggerHook', interval=1))
"""


class ToyModel(BaseModel):
    """Something to train."""

    def __init__(self, **kwargs):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def forward(self, *inputs, mode='loss', **kwargs):
        return dict(loss=self.weight**2) if mode == 'loss' else [dict()]


class ToyMetric(BaseMetric):
    """A little more at every evaluation."""

    count = 0

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        self.count += 1
        return {'accuracy/top1': 70 + (self.count - 1) / 100, 'other': 1.0}


def told(records):
    return {(Path(r['config']).name, r['metric']): (r['value'], r['from']) for r in records}


def test_what_mmengine_leaves_is_read(tmp_path, monkeypatch):
    """The last validation counts until there is a test, though it may be lower."""
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
        (record,) = collect([tmp_path / 'work']).records
        assert (record['task'], record['metric'], record['seed']) == ('classification', 'top1', 4)
        assert (record['training'], record['name'], record['checkpoint']) == ('mine', 'mine', weights)
        if weights:
            assert (record['value'], record['from'], record['source']) == (
                70.0,
                'test',
                str(logs / f'{logs.name}.json'),
            )
        else:
            assert (record['value'], record['from']) == (70.01, 'validation at step 2')
            assert Path(record['source']).name == 'scalars.json' and record['config'] == str(work_dir / 'mine.py')


def test_a_test_elsewhere_is_of_the_run_of_its_checkpoint(tmp_path):
    logs = stage(tmp_path / 'mine', 'mine', {'coco/bbox_mAP': 0.25, 'coco/segm_mAP_50': 0.5}, seed=None)
    elsewhere = stage(tmp_path / 'tests' / 'a', 'mine', {'coco/bbox_mAP': 0.31}, None, str(logs / 'e.pth'))
    found = collect([logs, elsewhere]).records
    assert told(found) == {
        ('mine.py', 'bbox_mAP'): (31.0, 'test'),
        ('mine.py', 'segm_mAP_50'): (50.0, 'validation at step 1'),
    }
    assert {record['seed'] for record in found} == {str(logs.resolve())}  # it has none, so its path
    stage(tmp_path / 'b' / 'mine', 'mine', {'coco/bbox_mAP': 0.25}, seed=None)
    assert len({record['seed'] for record in collect([tmp_path]).records}) == 2


def test_configs_that_share_a_folder_are_told_apart_or_refused(tmp_path):
    logs = stage(tmp_path, 'one', {'mIoU': 1.0})
    stage(tmp_path, 'two', {'mIoU': 2.0}, load_from=str(logs / 'e.pth'), start=1)
    assert told(run_records(logs)) == {
        ('one.py', 'mIoU'): (1.0, 'validation at step 1'),
        ('two.py', 'mIoU'): (2.0, 'test'),
    }
    (logs / 'one.py').write_text('changed = 1\n')
    with pytest.raises(ValueError, match=r'may be a run of any of one\.py, two\.py: give each its own --work-dir'):
        run_records(logs)


@pytest.mark.parametrize('copied', [False, True])
def test_a_stage_tests_in_a_folder_of_its_own_or_among_its_logs(tmp_path, copied):
    logs = stage(tmp_path / 'study' / 'deit_mixpro_s2', 'mine', {'accuracy/top1': 70.0}, seed=2)
    weights = str(logs / 'e.pth')
    stage(logs, 'mine', {'accuracy/top1': 71.0}, 2, weights, start=1)
    if copied:  # beside the original, and with paths that lead to it
        logs = shutil.copytree(logs, tmp_path / 'copy' / logs.name)
    assert [record['value'] for record in collect([logs.parent]).records] == [71.0]
    stage(logs / 'test', 'mine', {'accuracy/top1': 72.0}, 2, weights, start=2)
    (record,) = collect([logs.parent]).records
    assert (record['value'], record['seed'], record['name']) == (72.0, 2, 'deit_mixpro')


def test_tests_of_several_scales_and_of_robustness_are_known_by_their_configs(tmp_path):
    weights = str(stage(tmp_path / 'training', 'deit-small_mixpro_8xb128_in1k', {'accuracy/top1': 81.0}) / 'e.pth')
    suites = (
        ('segmenter', 'Digits', None, {'mIoU': 50.0}),
        (
            'any',
            'mixpro_mm.ImageNetA',
            'mixpro_mm.RecordedTestLoop',
            {'calibration/top1': 20.0, 'calibration/aurra': 3},
        ),
        ('name', 'mixpro_mm.ImageNetO', 'mixpro_mm.RecordedTestLoop', {'ood/aupr': 22.0}),
        ('will-do', 'ImageNet', 'mixpro_mm.OcclusionTestLoop', {'accuracy/top1': 81.5, 'calibration/ece': 3.0}),
    )
    for name, data, loop, metrics in suites:
        stage(tmp_path / 'tests' / name, name, metrics, 0, weights, data=data, loop=loop)
    stage(tmp_path / 'tests' / 'segmenter', 'segmenter', {'mIoU': 51.0}, 0, weights, tta=True, start=1)
    found = collect([tmp_path]).records
    assert {key: value for key, (value, _) in told(found).items()} == {
        ('segmenter.py', 'mIoU'): 50.0, ('segmenter.py', 'mIoU (MS)'): 51.0, ('any.py', 'A_top1'): 20.0,
        ('any.py', 'A_aurra'): 3.0, ('name.py', 'O_aupr'): 22.0, ('will-do.py', 'ece'): 3.0,
        ('deit-small_mixpro_8xb128_in1k.py', 'top1'): 81.0,
    }  # fmt: skip
    (aurra,) = [record for record in found if record['metric'] == 'A_aurra']
    assert read_paper().cells(aurra) == [CellKey('', 'table5', 'mixpro', 'A_aurra')]


def test_tests_of_two_checkpoints_in_one_folder_stay_apart(tmp_path):
    for start, name in enumerate(('first', 'second')):
        weights = stage(tmp_path / name, name) / 'e.pth'
        stage(tmp_path / 'test', 'test', {'mIoU': float(start)}, 0, str(weights), start=start)
    assert {record['training']: record['value'] for record in collect([tmp_path]).records} == dict(
        first=0.0, second=1.0
    )


def test_the_training_of_a_checkpoint_is_told_by_the_copy_of_its_config(tmp_path):
    folder = stage(tmp_path / 'mine_s3', 'vit', seed=3)
    stage(folder, 'other', {'mIoU': 1.0}, 9, 'e.pth', start=1)  # a test in the same folder
    stage(tmp_path / 'x', 'robust', {}, 0, 'e.pth', loop='mixpro_mm.OcclusionTestLoop')  # no training at all
    training = training_of(folder / 'e.pth', tmp_path)
    assert training == Training(folder, 'vit', 3) and (training.name, training.run) == ('mine', 3)
    assert training_of(tmp_path / 'x' / 'e.pth', tmp_path) == Training(tmp_path / 'x')
    assert training_of('/gone/mine_s3/e.pth', folder / 'test') == training  # moved together
    (tmp_path / 'code.py').write_text('x = 1\n')
    assert training_of(tmp_path / 'e.pth', tmp_path / 'a' / 'b') == Training(tmp_path)  # no config of a training
    assert Training(folder).name == 'mine_s3' and Training(folder).run == str(folder)
    assert Training(folder, seed=1).name == 'mine_s3'  # of another seed than its name


def test_both_forms_of_results_and_each_file_once(tmp_path):
    write(tmp_path / 'old' / 'results.json', [study_record(pretraining='MixPro')])
    file = write(tmp_path / 'new' / 'results.json', dict(study=dict(title='t'), records=[study_record(seed=1)]))
    found = collect([tmp_path, tmp_path / 'old', file])
    assert [(record['seed'], record['pretraining'], record['source']) for record in found.records] == [
        (1, 'mixpro', str(file)), (0, 'mixpro', str(tmp_path / 'old' / 'results.json')),
    ]  # fmt: skip


def test_a_study_speaks_for_its_stages_and_names_the_unreported(tmp_path):
    logs = stage(tmp_path / 'study' / 'mine', 'mine', {'accuracy/top1': 70.0})
    write(logs / 'occlusion' / 'occlusion.json', occlusion('a.py'))
    assert len(collect([logs.parent]).records) == 4
    results = write(logs.parent / 'results.json', dict(records=[study_record(checkpoint_sha256='bb')]))
    for name, content in dict(a='aa', b='bb', c='cc').items():
        write(logs.parent / name / 'done.json', dict(metrics={}, checkpoint_sha256=content))
    write(logs.parent / 'command' / 'done.json', dict(seconds=1.0))
    write(tmp_path / 'elsewhere' / 'd' / 'done.json', dict(metrics={}, checkpoint_sha256='dd'))
    found = collect([tmp_path, logs.parent])
    assert [record['value'] for record in found.records] == [80.0]
    assert found.unreported == {str(results): [str(results.parent / name) for name in 'ac']}


def test_a_curve_counts_by_its_occluded_points(tmp_path):
    assert normalised(study_record(value=1.0, curve=[[0.0, 90.0], [0.5, 60.0], [0.75, 30.0]]))['value'] == 45.0
    file = write(tmp_path / 'occlusion.json', occlusion('deit.py'))
    write(tmp_path / 'b' / 'occlusion.json', occlusion('deit.py') | dict(settings=dict(protocol='count', grid=8)))
    records = collect([tmp_path]).records
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
    found = {(r['name'], r['training'], isinstance(r['seed'], int)) for r in collect([tmp_path]).records}
    assert found == {('a', 'vit', True), ('wide', 'vit', True), ('c_s1', None, False)}


def test_a_benchmark_gives_the_speed_that_table_2_means(tmp_path):
    write(tmp_path / '2026_any.json', BENCHMARK)
    found = collect([tmp_path])
    assert {record['metric']: record['value'] for record in found.records} == dict(speed=3.0, params=22.0)
    assert found.benchmarks == [BENCHMARK]


@pytest.mark.parametrize(
    ('content', 'said'),
    [
        ('[{"task"', r'results\.json cannot be read'),
        (
            json.dumps([{'task': 'classification', 'value': 1}]),
            r'results\.json has a record without backbone, pretraining',
        ),
        (json.dumps([study_record(value='80')]), r'whose value is no number'),
        (json.dumps([]), r'nothing to report in .+: no results\.json, occlusion\.json, benchmark or log of a test'),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path, content, said):
    (tmp_path / 'results.json').write_text(content)
    with pytest.raises(ValueError, match=said):
        collect([tmp_path])


def test_other_json_is_passed_over_or_refused_by_name(tmp_path):
    write(tmp_path / 'annotations.json', dict(images=[], records='none'))
    (tmp_path / 'half.json').write_text('{')
    write(tmp_path / 'results.json', [study_record()])
    assert len(collect([tmp_path]).records) == 1
    with pytest.raises(ValueError, match=r'annotations\.json holds no results'):
        collect([tmp_path / 'annotations.json'])
    with pytest.raises(ValueError, match='there is no file or folder'):
        collect([tmp_path / 'missing'])
