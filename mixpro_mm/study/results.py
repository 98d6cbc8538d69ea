"""Records of a study: every number with where it comes from."""

from collections.abc import Iterator
from pathlib import Path

from mixpro_mm.files import read_json
from mixpro_mm.study.metrics import METRICS, OPTIONAL, ROBUSTNESS
from mixpro_mm.study.plan import Plan, Stage
from mixpro_mm.study.stage import DONE

__all__ = ['records_of']

OCCLUSION = 'occlusion.json'  # as OcclusionTestLoop calls it


def records_of(plan: Plan, work_dir: Path, root: Path) -> list[dict]:
    """One record per finished stage and metric, in percent; configs are named relative to ``root`` where below it.

    Where the stage names a published number for the metric, the record carries it as ``published``. A curve is one
    record: ``value`` is the mean of its points, ``curve`` has them as pairs (information loss, top-1).
    """
    records = []
    for stage in plan.stages:
        done = read_json(work_dir / stage.name / DONE)
        if stage.config is None or done is None:
            continue
        origin = dict(
            seed=plan.seed_of(stage), config=_below(stage.config, root), checkpoint_sha256=done['checkpoint_sha256']
        )
        for record in (*_numbers(stage, done['metrics']), *_robustness(stage, done['metrics'], work_dir, root)):
            cell = {key: getattr(stage, key) for key in ('table', 'row', 'column', 'data') if getattr(stage, key)}
            record = dict(backbone=stage.backbone, pretraining=stage.pretraining) | cell | origin | record
            if record['metric'] in stage.published:
                record['published'] = stage.published[record['metric']]
            records.append({key: record[key] for key in ORDER if key in record})
    return records


ORDER = (
    'task', 'backbone', 'pretraining', 'table', 'row', 'column', 'data', 'metric', 'value', 'seed', 'config',
    'checkpoint_sha256', 'published', 'curve',
)  # fmt: skip


def _numbers(stage: Stage, metrics: dict) -> Iterator[dict]:
    """What the stage's own test measured."""
    for reported, (metric, factor) in METRICS.items():
        if reported in metrics and (metric not in OPTIONAL or metric in stage.published):
            yield dict(task=stage.task, metric=metric, value=round(metrics[reported] * factor, 4))


def _robustness(stage: Stage, metrics: dict, work_dir: Path, root: Path) -> Iterator[dict]:
    """What its further tests measured, each with the config of that test."""
    for reported, (metric, factor) in ROBUSTNESS.items():
        name = reported.split('/')[0]
        if name in stage.evaluations and reported in metrics:
            config = _below(stage.evaluations[name], root)
            yield dict(task='robustness', metric=metric, value=round(metrics[reported] * factor, 4), config=config)
    curves = (read_json(work_dir / stage.name / 'occlusion' / OCCLUSION) or {}).get('curves', {})
    for mode, points in curves.items() if 'occlusion' in stage.evaluations else ():
        yield dict(
            task='robustness',
            metric=f'occlusion_{mode}',
            value=round(sum(point['top1'] for point in points) / len(points), 4),
            config=_below(stage.evaluations['occlusion'], root),
            curve=[[round(point['information_loss'], 4), round(point['top1'], 4)] for point in points],
        )


def _below(config: str, root: Path) -> str:
    path = Path(config)
    return str(path.relative_to(root) if path.is_relative_to(root) else path)
