"""Tests that docs/evidence.md shows docs/evidence/results.json, and that the latter is complete."""

import json
import re
from collections import Counter
from pathlib import Path

from mixpro_mm.report.page import render_markdown
from mixpro_mm.report.paper_report import comparison_blocks, results_blocks
from mixpro_mm.report.records import normalised
from mixpro_mm.report.tables import results_table
from mixpro_mm.study.plan import read_plan

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / 'docs' / 'evidence' / 'results.json'
PAGE = (ROOT / 'docs' / 'evidence.md').read_text(encoding='utf-8')


def test_tables_on_the_page_are_generated():
    table = results_table([normalised(record) for record in json.loads(RESULTS.read_text())['records']])
    generated = render_markdown([*results_blocks(table), *comparison_blocks(table)]).strip()
    claims, *tables = (part for part in PAGE.split('\n\n') if part.startswith('|'))
    assert tables == [part for part in generated.split('\n\n') if part.startswith('|')]
    for line in claims.splitlines()[2:]:  # written by hand: the gains of the paper next to ours
        metric, backbone, difference, _, here = (cell.strip() for cell in line.strip('|').split(' | '))
        part = generated.partition('## Differences')[2].split(f', {backbone}\n')
        assert any(f'| {metric} | {difference} | {here} |' in text.split('###')[0] for text in part[1:]), line


def test_pictures_exist_and_are_used():
    pictures = set(re.findall(r'\(evidence/(\S+\.png)\)', PAGE))
    assert pictures == {path.name for path in RESULTS.parent.iterdir()} - {RESULTS.name}


def test_results_have_every_method_seed_and_metric_of_the_study():
    results = json.loads(RESULTS.read_text())
    seeds = Counter((r['task'], r['backbone'], r['metric'], r['pretraining']) for r in results['records'])
    expected = {}
    for stage in read_plan(ROOT / 'configs' / 'digits' / 'study_evidence.py').stages:
        for task, metric in metrics_of(stage):
            key = task, stage.backbone, metric, stage.pretraining
            expected[key] = expected.get(key, 0) + 1
    assert dict(seeds) == expected
    assert all((ROOT / record['config']).is_file() for record in results['records'])
    versions = results['study']['versions']
    said = ' '.join(PAGE.split())
    assert results['study']['date'] in said
    assert [name for name, version in versions.items() if f'{name} {version}' not in said] == ['mixpro-mm']
    assert str(ROOT) not in RESULTS.read_text()


def metrics_of(stage):
    """Yield (task, metric) of a stage."""
    measures = dict(
        classification=['top1'], segmentation=['mIoU', 'mIoU (MS)'], detection=['bbox_mAP', 'segm_mAP']
    ).get(stage.task, [])  # fmt: skip
    yield from ((stage.task, metric) for metric in measures)
    if stage.evaluations:
        curves = [f'occlusion_{mode}' for mode in ('random', 'salient', 'non-salient')]
        a, o = ('top1', 'rms_calibration_error', 'aurra'), ('aupr', 'auroc', 'fpr95')
        for metric in ('ece', *curves, *(f'A_{name}' for name in a), *(f'O_{name}' for name in o)):
            yield 'robustness', metric
