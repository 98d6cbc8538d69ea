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

from mixpro_mm.reporting.cells import cells_of
from mixpro_mm.report.records import collect
from mixpro_mm.report.paper import published_tables
from mixpro_mm.reporting.places import DIGITS, IMAGENET
from mixpro_mm.report.runs import Training, run_records, training_of
from tests.report.full_results import occlusion, stage, write

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


@pytest.mark.parametrize('copied', [False, True])
def test_a_stage_tests_in_a_folder_of_its_own_or_among_its_logs(run, tmp_path, copied):
    name, folder = 'deit-micro_mixpro_digits-8', tmp_path / 'study' / 'deit_mixpro_s2'
    logs = run(name, {'accuracy/top1': 70.0}, seed=2, work_dir=folder)
    weights = str(logs / 'epoch_2.pth')
    run(name, {'accuracy/top1': 71.0}, weights, seed=2, work_dir=folder)  # as older stages did it
    if copied:  # beside the original, and with paths that lead to it
        logs = shutil.copytree(logs, tmp_path / 'copy' / logs.name)
    assert [record['value'] for record in collect([logs.parent]).records] == [71.0]
    run(name, {'accuracy/top1': 72.0}, weights, seed=2, work_dir=logs / 'test')
    (record,) = collect([logs.parent]).records
    assert (record['value'], record['from'], record['seed']) == (72.0, 'test', 2)


def cells(folder):
    """(section, table) -> row -> column -> (mean, number of seeds), of all below a folder."""
    found, rest = cells_of(collect([folder]).records, published_tables())
    assert rest == []
    return {
        table: {
            row: {column: (round(cell.value, 4), cell.count) for column, cell in columns.items()}
            for row, columns in rows.items()
        }
        for table, rows in found.items()
    }


MODES = ('occlusion_random', 'occlusion_salient', 'occlusion_non-salient')


def robustness(folder, config, training, checkpoint, whole, seed=None):
    """Two tests of one training; the first as the loop writes it without a label: with that of its config."""
    test = f'{config.split("_")[0]}_occlusion_{"digits-8" if "micro" in config else "in1k"}'
    if training:
        stage(folder, training, seed=seed)
    write(folder / 'occlusion' / 'occlusion.json', occlusion(f'configs/{test}.py', test, 8, checkpoint, whole))
    stage(folder / 'O', config, {'ood/aupr': whole / 2}, seed=seed, load_from=checkpoint)


def test_methods_are_rows_and_their_seeds_are_joined_wherever_the_folders_lie(tmp_path):
    for method, whole in (('cutmix', 40.0), ('mixpro', 80.0)):
        for seed in (0, 1):
            name = f'deit_{method}_s{seed}'
            robustness(tmp_path / name, 'deit-micro_digits-o', f'deit-micro_{method}_digits-8', f'/gone/{name}/a.pth',
                       whole + 8 * seed, seed)  # fmt: skip
    of = cells(tmp_path)
    mean = 0.625  # of 1, 0.75, 0.5, 0.25
    assert of[DIGITS, 'figure3'] == {
        ('DeiT-micro', 'digits-8', 'cutmix'): dict.fromkeys(MODES, (44 * mean, 2)),
        ('DeiT-micro', 'digits-8', 'mixpro'): dict.fromkeys(MODES, (84 * mean, 2)),
    }
    assert of[DIGITS, 'table5'] == {
        ('DeiT-micro', '', 'cutmix'): {'O_aupr': (22.0, 2)}, ('DeiT-micro', '', 'mixpro'): {'O_aupr': (42.0, 2)},
    }  # fmt: skip


def test_a_training_of_somebodys_own_is_a_row_by_its_folder(tmp_path):
    trainings = {'big_s0': ('mine', 0, 40.0), 'big_s1': ('mine', 1, 48.0), 'small_s16': ('mine', 0, 80.0),
                 'unknown_s0': (None, 0, 16.0)}  # fmt: skip
    for name, (training, seed, whole) in trainings.items():
        robustness(tmp_path / name, 'deit-micro_digits-o', training, f'/gone/{name}/a.pth', whole, seed)
    rows = cells(tmp_path)[DIGITS, 'figure3']
    assert {row[2]: columns['occlusion_random'] for row, columns in rows.items()} == {
        'big': (27.5, 2), 'small_s16': (50.0, 1), 'unknown_s0': (10.0, 1),
    }  # fmt: skip


def test_on_imagenet_a_folder_of_another_name_is_told_by_its_config(tmp_path):
    for name, method, whole in (('a', 'mixpro', 80.0), ('b', 'mixup-cutmix', 40.0), ('c', None, 16.0)):
        training = method and f'deit-small_{method}_8xb128_in1k'
        folder = tmp_path / name
        if training:
            stage(folder, training)
        config = 'deit-small_occlusion_in1k'
        test = occlusion(f'configs/{config}.py', config, 14, f'{folder}/e.pth', whole)
        write(tmp_path / 'tests' / f'{name}.json', test)
        if training:
            stage(tmp_path / 'tests' / name, 'deit-small_imagenet-o', {'ood/aupr': whole}, load_from=f'{folder}/e.pth')
    of = cells(tmp_path)
    assert {row: columns['occlusion_random'] for row, columns in of[IMAGENET, 'figure3'].items()} == {
        'mixpro': (50.0, 1), 'baseline': (25.0, 1), 'c': (10.0, 1),
    }  # fmt: skip
    assert of[IMAGENET, 'table5'] == {'mixpro': {'O_aupr': (80.0, 1)}, 'baseline': {'O_aupr': (40.0, 1)}}


def test_a_label_that_somebody_gave_is_the_row_of_a_training_of_their_own(tmp_path):
    write(tmp_path / 'a.json', occlusion('deit-micro_occlusion_digits-8.py', 'wide', 8, '/gone/mine/a.pth'))
    assert list(cells(tmp_path)[DIGITS, 'figure3']) == [('DeiT-micro', 'digits-8', 'wide')]


def test_a_transfer_is_named_after_what_its_backbone_began_with(tmp_path):
    stage(tmp_path / 'pvt_first_s0', 'pvt-micro_transmix_digits-8', seed=0)  # only its config tells
    runs = {'maskrcnn_a_s0': ('/gone/pvt_first_s0/e.pth', 0, 0.1),
            'maskrcnn_mixpro_s0': ('/gone/pvt_mixpro_s0/e.pth', 0, 0.2),
            'maskrcnn_mixpro_s1': ('/gone/pvt_mixpro_s1/e.pth', 1, 0.3),
            'b': ('work_dirs/pvt-micro_cutmix_digits-8/e.pth', 0, 0.4), 'maskrcnn_none_s0': (None, 0, 0.5)}  # fmt: skip
    config = 'mask-rcnn_pvt-micro_digit-scenes'
    for name, (start, seed, value) in runs.items():
        stage(tmp_path / name, config, seed=seed, start=start)
        if start is None:  # a test of its own knows the default of the config only
            start = 'work_dirs/pvt-micro_mixpro_digits-8/e.pth'
        weights = f'/gone/{name}/e.pth'
        stage(tmp_path / name / 'test', config, {'coco/bbox_mAP': value}, seed, start, weights)
    found = cells(tmp_path)[DIGITS, 'table4']
    assert {row: columns['bbox_mAP'] for row, columns in found.items()} == {
        ('PVT-micro', 'digit-scenes', method): value
        for method, value in dict(transmix=(10.0, 1), mixpro=(25.0, 2), cutmix=(40.0, 1), none=(50.0, 1)).items()
    }
    scenes, began = 'segmenter_deit-micro_digit-scenes', '/gone/deit_maskmix_s0/e.pth'
    folder = tmp_path / 'more' / 'segmenter_maskmix_s0'
    stage(folder, scenes, {'mIoU': 10.0}, start=began)
    stage(folder / 'tta', scenes, {'mIoU': 12.0}, 0, began, '/gone/segmenter_maskmix_s0/i.pth', tta=True)
    assert cells(folder)[DIGITS, 'table3'] == {
        ('DeiT-micro', 'digit-scenes', 'maskmix'): {'mIoU': (10.0, 1), 'mIoU (MS)': (12.0, 1)}
    }


@pytest.mark.parametrize('tested', [False, True])
def test_transfer_json_tells_what_a_backbone_began_with(tmp_path, tested):
    """``load_from``, the ``init_cfg`` of the whole model and an argument of the hook are in no backbone's config."""
    folder = tmp_path / 'mine'
    write(folder / 'transfer.json', dict(checkpoint='/gone/pvt_cutmix_s0/e.pth', complete=True))
    test = folder / 'test' if tested else folder
    stage(folder, 'mask-rcnn_pvt-micro_digit-scenes') if tested else None
    stage(test, 'mask-rcnn_pvt-micro_digit-scenes', {'coco/bbox_mAP': 0.4}, load_from=str(folder / 'e.pth'))
    (record,) = collect([tmp_path]).records
    assert record['start'] == '/gone/pvt_cutmix_s0/e.pth'
    found = cells(tmp_path)[DIGITS, 'table4']
    assert found == {('PVT-micro', 'digit-scenes', 'cutmix'): {'bbox_mAP': (40.0, 1)}}


def test_the_training_of_a_checkpoint_is_told_by_the_copy_of_its_config(tmp_path):
    folder = stage(tmp_path / 'mine_s3', 'vit', seed=3, start='a/b.pth')
    stage(folder, 'other', {'mIoU': 1.0}, seed=9)  # a test in the same folder
    stage(tmp_path / 'x', 'deit-micro_occlusion_digits-8', {'calibration/ece': 1.0})  # no training at all
    training = training_of(folder / 'e.pth', tmp_path)
    assert training == Training(folder, 'vit', 3, 'a/b.pth') and (training.name, training.run) == ('mine', 3)
    assert training_of(tmp_path / 'x' / 'e.pth', tmp_path) == Training(tmp_path / 'x')
    assert Training(folder).name == 'mine_s3' and Training(folder).run == str(folder)
    assert Training(folder, seed=1).name == 'mine_s3'  # of another seed than its name


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
    assert found.untold == {}


def test_finished_stages_that_a_study_has_no_record_of_are_named(tmp_path):
    for name, sha256 in (('a', 'aa'), ('b', 'bb'), ('c', 'cc')):
        write(tmp_path / 'study' / name / 'done.json', dict(metrics={}, checkpoint_sha256=sha256))
    write(tmp_path / 'study' / 'command' / 'done.json', dict(seconds=1.0))
    write(tmp_path / 'elsewhere' / 'd' / 'done.json', dict(metrics={}, checkpoint_sha256='dd'))
    results = write(tmp_path / 'study' / 'results.json', dict(records=[dict(RECORD, checkpoint_sha256='bb')]))
    found = collect([tmp_path, tmp_path / 'study'])
    assert found.untold == {str(results): [str(results.parent / 'a'), str(results.parent / 'c')]}


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
