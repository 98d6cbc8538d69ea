"""Records of a study: metrics with their origin."""

from collections.abc import Iterator
from pathlib import Path

from mixpro_mm.study.entries import DONE
from mixpro_mm.study.evaluate import METRICS, OPTIONAL, ROBUSTNESS
from mixpro_mm.study.plan import Plan, Stage
from mixpro_mm.utils.files import read_json

__all__ = ['records_of']

OCCLUSION = 'occlusion.json'  # written by OcclusionTestLoop
ORDER = (
    'task', 'backbone', 'pretraining', 'table', 'row', 'column', 'data', 'metric', 'value', 'seed', 'config',
    'checkpoint_sha256', 'published', 'curve',
)  # fmt: skip


def records_of(plan: Plan, work_dir: Path, root: Path) -> list[dict]:
    """Return one record for each finished stage and metric, in percent.

    ``table``, ``row`` and ``column`` refer to the stage's own test, not to its evaluations. The record of a curve has
    the mean of the points as ``value`` and the pairs (information loss, top-1) as ``curve``. Paths of configs are
    relative to ``root`` if they are below it.
    """
    records = []
    for stage in plan.stages:
        done = read_json(work_dir / stage.name / DONE)
        if stage.config is None or done is None:
            continue
        origin = dict(backbone=stage.backbone, pretraining=stage.pretraining, seed=plan.seed_of(stage), data=stage.data)
        origin |= dict(config=stage.config, checkpoint_sha256=done['checkpoint_sha256'])
        for record in (*_numbers(stage, done['metrics']), *_robustness(stage, done['metrics'], work_dir)):
            record = origin | record | dict(published=stage.published.get(record['metric']))
            path = Path(record['config'])
            record['config'] = str(path.relative_to(root) if path.is_relative_to(root) else path)
            records.append({key: record[key] for key in ORDER if record.get(key) is not None})
    return records


def _numbers(stage: Stage, metrics: dict) -> Iterator[dict]:
    """Yield the metrics of the stage's own test."""
    cell = dict(task=stage.task, table=stage.table, row=stage.row, column=stage.column)
    for reported, (metric, factor) in METRICS.items():
        if reported in metrics and (metric not in OPTIONAL or metric in stage.published):
            yield cell | dict(metric=metric, value=round(metrics[reported] * factor, 4))


def _robustness(stage: Stage, metrics: dict, work_dir: Path) -> Iterator[dict]:
    """Yield the metrics of its evaluations, each with the config of that test."""
    for reported, (metric, factor) in ROBUSTNESS.items():
        config = stage.evaluations.get(reported.split('/')[0])
        if config and reported in metrics:
            yield dict(task='robustness', metric=metric, value=round(metrics[reported] * factor, 4), config=config)
    curves = (read_json(work_dir / stage.name / 'occlusion' / OCCLUSION) or {}).get('curves', {})
    for mode, points in curves.items() if 'occlusion' in stage.evaluations else ():
        yield dict(
            task='robustness',
            metric=f'occlusion_{mode}',
            value=round(sum(point['top1'] for point in points) / len(points), 4),
            config=stage.evaluations['occlusion'],
            curve=[[round(point['information_loss'], 4), round(point['top1'], 4)] for point in points],
        )
