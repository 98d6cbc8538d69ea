"""The studies on Fashion-MNIST: their plans, results, and the models of the study for one GPU."""

import json
from collections import Counter

import pytest
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import DefaultScope
from mmengine.utils import import_modules_from_strings

from mixpro_mm.study.plan import read_plan
from tests.config_rows import CONFIGS

SEVEN = {'none', 'mixup', 'cutmix', 'transmix', 'tokenmix', 'maskmix', 'mixpro'}
FOUR = {'none', 'cutmix', 'transmix', 'mixpro'}
MEASURED = dict(classification=['top1'], segmentation=['mIoU', 'mIoU (MS)'], detection=['bbox_mAP', 'segm_mAP'])
ROBUSTNESS = 'ece occlusion_random occlusion_salient occlusion_non-salient A_top1 A_rms_calibration_error A_aurra'
ROBUSTNESS = [*ROBUSTNESS.split(), 'O_aupr', 'O_auroc', 'O_fpr95']
TESTS = dict(occlusion='occlusion', calibration='ece', A='A', O='O')


def runs_of(study):
    """Return (task, backbone) -> pre-training -> seeds."""
    runs = {}
    for stage in (stage for stage in read_plan(CONFIGS / 'fashion' / study).stages if stage.config):
        runs.setdefault((stage.task, stage.backbone), {}).setdefault(stage.pretraining, []).append(stage.seed)
    return runs


@pytest.mark.parametrize(
    ('study', 'backbones', 'seeds', 'segmenters', 'deit', 'other'),
    [
        ('study_fashion_evidence.py', ('DeiT-micro', 'PVT-micro'), (5, 3), 5, SEVEN, FOUR),
        ('study_fashion_evidence_gpu.py', ('DeiT-T', 'PVT-T'), (5, 3), 5, SEVEN, FOUR),
        ('study_fashion_quick.py', ('DeiT-micro', 'PVT-micro'), (2, 2), 2, FOUR, {'none', 'mixpro'}),
    ],
)
def test_methods_and_seeds(study, backbones, seeds, segmenters, deit, other):
    most, least, for_segmenters = (list(range(count)) for count in (*seeds, segmenters))
    assert runs_of(study) == {
        ('classification', backbones[0]): dict.fromkeys(deit, most),
        ('classification', backbones[1]): dict.fromkeys(other, least),
        ('segmentation', backbones[0]): dict.fromkeys(other, for_segmenters),
        ('detection', backbones[1]): dict.fromkeys(other, least),
    }


@pytest.mark.parametrize(
    'study', ['study_fashion_evidence.py', 'study_fashion_evidence_gpu.py', 'study_fashion_quick.py']
)
def test_transfers_start_from_their_method_and_seed_with_the_same_backbone(study):
    plan = read_plan(CONFIGS / 'fashion' / study)
    for stage in (stage for stage in plan.stages if stage.checkpoint):
        start = plan.stage(stage.checkpoint)
        assert (start.pretraining, start.seed, start.backbone) == (stage.pretraining, stage.seed, stage.backbone)
        assert start.settings.model.backbone.arch == stage.settings.model.backbone.arch


def test_tables_have_the_rows_of_the_ablation_and_of_whole_methods():
    studies = [read_plan(CONFIGS / 'fashion' / f'study_fashion_{name}.py') for name in ('evidence', 'ablation')]
    rows = {}
    for table, row, column in {cell for plan in studies for stage in plan.stages for cell in stage.cells}:
        assert column == ('deit-micro' if table == 'table7' else 'top1' if table == 'table6' else 'error')
        rows.setdefault(table, set()).add(row)
    assert rows == dict(
        table6={'cutmix', 'cutmix-transmix', 'maskmix-transmix', 'cutmix-transmix-pal', 'maskmix-pal'},
        table7={'region', 'block', 'random', 'random-2x'},
        table10={'equal', 'linear', 'parabolic', 'learnable', 'pal'},
        figure5a={'scale-1', 'scale-2', 'scale-4'},
        figure5b={'beta-0.5', 'beta-0.8', 'beta-1', 'beta-2'},
    )


@pytest.mark.parametrize(('study', 'file'), [('evidence', 'results.json'), ('ablation', 'ablation.json')])
def test_results_have_every_metric_of_every_stage(study, file):
    """Some methods have more seeds than the plan."""
    path, root = CONFIGS / 'fashion' / f'study_fashion_{study}.py', CONFIGS.parent
    text = (root / 'docs' / 'evidence' / file).read_text()
    results, plan = json.loads(text), read_plan(path)
    finished = {stage['name'] for stage in results['study']['stages']}
    assert finished >= {stage.name for stage in plan.stages if stage.config}
    found = Counter((r['backbone'], r['pretraining'], r['seed'], r['task'], r['metric']) for r in results['records'])
    expected = Counter()
    stages = {stage.name: stage for stage in (*plan.stages, *read_plan(path, seeds=8).stages)}
    for stage in (stages[name] for name in finished):
        run = stage.backbone, stage.pretraining, plan.seed_of(stage)
        metrics = [(stage.task, metric) for metric in MEASURED[stage.task]]
        measured = [metric for metric in ROBUSTNESS if metric.partition('_')[0] in {*map(TESTS.get, stage.evaluations)}]
        expected.update((*run, *metric) for metric in [*metrics, *(('robustness', metric) for metric in measured)])
    assert found == expected and all((root / record['config']).is_file() for record in results['records'])
    assert results['study']['about'] == plan.about and str(root) not in text


def test_models_of_one_gpu_are_built():
    plan = read_plan(CONFIGS / 'fashion' / 'study_fashion_evidence_gpu.py')
    import_modules_from_strings(['mmpretrain.models', 'mmseg.models', 'mmdet.models'])
    widths = {}
    for name in ('deit_mixpro_s0', 'pvt_mixpro_s0', 'segmenter_mixpro_s0', 'maskrcnn_mixpro_s0'):
        settings = plan.stage(name).settings
        with DefaultScope.overwrite_default_scope(settings.default_scope):
            model = ROOT_MODELS.build(settings.model)
        widths[name.split('_')[0]] = [
            model.state_dict()[key].shape[1]
            for key in ('head.layers.head.weight', 'head.fc.weight', 'decode_head.dec_proj.weight')
            if key in model.state_dict()
        ] or [conv.conv.in_channels for conv in model.neck.lateral_convs]
        assert (settings.optim_wrapper.type, settings.optim_wrapper.dtype) == ('AmpOptimWrapper', 'bfloat16')
    assert widths == dict(deit=[192], pvt=[512], segmenter=[192], maskrcnn=[64, 128, 320, 512])


def test_the_pilot_reads_no_test_image():
    for stage in read_plan(CONFIGS / 'fashion' / 'study_fashion_pilot.py').stages[1:]:
        train = stage.settings.train_dataloader.dataset.dataset
        assert train.split == 'train' and train.num_images + 10000 <= 60000
        assert not {'seed', 'classes'} & train.keys()
        for part in (stage.settings.val_dataloader, stage.settings.test_dataloader):
            assert (part.dataset.split, part.dataset.num_images) == ('val', 10000)
            assert not {'seed', 'classes'} & part.dataset.keys()  # those of 'train', so the two are disjoint
