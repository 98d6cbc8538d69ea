"""docs/evidence.md is what the renderer makes of docs/evidence/results.json, which is whole and of this study."""

import json
from collections import Counter
from pathlib import Path

from mixpro_mm.reporting.evidence import write_evidence
from mixpro_mm.study.plan import read_plan

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / 'docs' / 'evidence' / 'results.json'


def test_the_page_is_rendered_from_the_committed_results(tmp_path):
    page = write_evidence(RESULTS, tmp_path / 'evidence.md').read_text(encoding='utf-8')
    assert page == (ROOT / 'docs' / 'evidence.md').read_text(encoding='utf-8')
    pictures = {path.name for path in (tmp_path / 'evidence').iterdir()}
    assert pictures == {path.name for path in RESULTS.parent.iterdir()} - {RESULTS.name}
    assert all(f'(evidence/{name})' in page for name in pictures)


def test_the_results_hold_every_method_seed_and_metric_of_the_study():
    results = json.loads(RESULTS.read_text())
    seeds = Counter((r['task'], r['backbone'], r['metric'], r['pretraining']) for r in results['records'])
    expected = {}
    for stage in read_plan(ROOT / 'configs' / 'digits' / 'study_evidence.py').stages:
        for task, metric in metrics_of(stage):
            key = task, stage.backbone, metric, stage.pretraining
            expected[key] = expected.get(key, 0) + 1
    assert dict(seeds) == expected
    assert all((ROOT / record['config']).is_file() for record in results['records'])
    assert (
        results['study']['date']
        and {'torch', 'onedl-mmpretrain', 'scikit-learn'} <= results['study']['versions'].keys()
    )
    assert str(ROOT) not in RESULTS.read_text()


def metrics_of(stage):
    """(task, metric) of all that a stage measures."""
    measures = dict(
        classification=['top1'], segmentation=['mIoU', 'mIoU (MS)'], detection=['bbox_mAP', 'segm_mAP']
    ).get(stage.task, [])  # fmt: skip
    yield from ((stage.task, metric) for metric in measures)
    if stage.evaluations:
        curves = [f'occlusion_{mode}' for mode in ('random', 'salient', 'non-salient')]
        a, o = ('top1', 'rms_calibration_error', 'aurra'), ('aupr', 'auroc', 'fpr95')
        for metric in ('ece', *curves, *(f'A_{name}' for name in a), *(f'O_{name}' for name in o)):
            yield 'robustness', metric
