"""Tests that docs/evidence.md shows docs/evidence/results.json, and that the latter is complete."""

import json
import re
from collections import Counter
from pathlib import Path

from mixpro_mm.report.page import render_markdown
from mixpro_mm.report.records import normalised
from mixpro_mm.report.study import comparison_blocks, results_blocks
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
    results, said = json.loads(RESULTS.read_text()), ' '.join(PAGE.split())
    seeds = Counter((r['task'], r['backbone'], r['metric'], r['pretraining']) for r in results['records'])
    stages = read_plan(ROOT / 'configs' / 'digits' / 'study_evidence.py').stages
    assert seeds == Counter(
        (task, stage.backbone, metric, stage.pretraining) for stage in stages for task, metric in metrics_of(stage)
    )
    assert all((ROOT / record['config']).is_file() for record in results['records'])
    versions = results['study']['versions']
    assert results['study']['date'] in said
    assert [name for name, version in versions.items() if f'{name} {version}' not in said] == ['mixpro-mm']
    assert str(ROOT) not in RESULTS.read_text()
