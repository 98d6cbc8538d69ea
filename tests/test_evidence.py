"""The evidence study: its configs, plan and results; tests/docs/test_evidence_page.py tests its page."""

import json
from collections import Counter
from pathlib import Path

import pytest
from mmengine.config import Config

from mixpro_mm.study.evaluate import evaluation_mark
from mixpro_mm.study.plan import read_plan
from tests.config_rows import CONFIGS, fresh, loader_of, read, train

ROOT, EVIDENCE = CONFIGS.parent, CONFIGS / 'digits' / 'evidence'
RESULTS = ROOT / 'docs' / 'evidence' / 'results.json'
SIX, FOUR = ('none', 'cutmix', 'transmix', 'tokenmix', 'maskmix', 'mixpro'), ('none', 'cutmix', 'transmix', 'mixpro')
PLAN = read_plan(CONFIGS / 'digits' / 'study_evidence.py')
STAGES = PLAN.stages


@pytest.mark.parametrize('name', ['deit-micro_none', 'deit-micro_tokenmix', 'pvt-micro_mixpro'])
def test_methods_train_on_eight_digits(name, tmp_path):
    config = fresh(EVIDENCE / f'{name}_digits-8.py')
    runner = train(config, loader_of(config, 4, indices=12), tmp_path)
    assert runner.train_dataloader.dataset.metainfo['classes'] == tuple('01234567')


def test_plan_has_all_methods_and_seeds():
    runs, named = {}, {stage.name: stage for stage in STAGES}
    for stage in (stage for stage in STAGES if stage.config):
        runs.setdefault((stage.task, stage.backbone), {}).setdefault(stage.pretraining, []).append(stage.seed)
        if stage.task == 'classification':
            assert Path(stage.config) == EVIDENCE / f'{stage.backbone.lower()}_{stage.pretraining}_digits-8.py'
            assert stage.needs == (('saliency',) if stage.evaluations else ())
            assert set(stage.evaluations) == ({'occlusion', 'A', 'O'} if stage.backbone == 'DeiT-micro' else set())
        else:  # from the same method, seed and family
            start = named[stage.checkpoint]
            assert (start.pretraining, start.seed, start.backbone) == (stage.pretraining, stage.seed, stage.backbone)
            assert stage.tta == (stage.task == 'segmentation')
    assert runs == {
        ('classification', 'DeiT-micro'): {key: [0, 1, 2, 3, 4] for key in SIX},
        ('classification', 'PVT-micro'): {key: [0, 1, 2] for key in FOUR},
        ('segmentation', 'DeiT-micro'): {key: [0, 1, 2] for key in FOUR},
        ('detection', 'PVT-micro'): {key: [0, 1, 2] for key in FOUR},
    }


def test_evaluation_configs_have_the_model_of_every_row():
    for path in next(stage for stage in STAGES if stage.evaluations).evaluations.values():
        tested = Config.fromfile(path)
        if saliency := tested.test_cfg.get('saliency'):  # not a compared model
            config = read(EVIDENCE / f'{Path(saliency.checkpoint).parent.name}.py')
            assert Path(saliency.checkpoint).name == f'epoch_{config.train_cfg.max_epochs}.pth'
            assert saliency.arch == config.model.backbone.arch
            assert not config.model.get('train_cfg') and config.randomness.seed not in range(5)
        for method in SIX:
            row = read(EVIDENCE / f'deit-micro_{method}_digits-8.py')
            assert (tested.model.backbone, tested.data_preprocessor) == (row.model.backbone, row.data_preprocessor)
        assert len(evaluation_mark(path)) == 64


def metrics_of(stage):
    measures = dict(
        classification=['top1'], segmentation=['mIoU', 'mIoU (MS)'], detection=['bbox_mAP', 'segm_mAP']
    )  # fmt: skip
    robustness = 'ece occlusion_random occlusion_salient occlusion_non-salient A_top1 A_rms_calibration_error A_aurra'
    robustness += ' O_aupr O_auroc O_fpr95'
    return [(stage.task, metric) for metric in measures.get(stage.task, [])] + [
        ('robustness', metric) for metric in (robustness.split() if stage.evaluations else [])
    ]


def test_results_have_every_method_seed_and_metric_of_the_study():
    results = json.loads(RESULTS.read_text())
    seeds = Counter((r['task'], r['backbone'], r['metric'], r['pretraining']) for r in results['records'])
    assert seeds == Counter(
        (task, stage.backbone, metric, stage.pretraining) for stage in STAGES for task, metric in metrics_of(stage)
    )
    assert all((ROOT / record['config']).is_file() for record in results['records'])
    assert results['study']['about'] == PLAN.about
    assert str(ROOT) not in RESULTS.read_text()
