"""Records of a study: metrics with their origin."""

from pathlib import Path

from mixpro_mm.evaluation.measures import PROBE
from mixpro_mm.study.entries import DONE
from mixpro_mm.study.evaluate import EVALUATED, EVALUATIONS, METRICS, OPTIONAL
from mixpro_mm.study.plan import Plan
from mixpro_mm.utils.files import read_json

__all__ = ['records_of']

OCCLUSION = 'occlusion.json'  # written by OcclusionTestLoop


def records_of(plan: Plan, work_dir: Path, root: Path) -> list[dict]:
    """Return one record for each finished stage and metric, in percent.

    ``cells`` are those of the stage's own test, not of its evaluations. The record of a curve has the mean of the
    points as ``value`` and the pairs (information loss, top-1) as ``curve``. Paths of configs are relative to ``root``
    if they are below it.
    """
    records, random = [], set()
    for stage in plan.stages:
        done = read_json(work_dir / stage.name / DONE)
        if stage.config is None or done is None:
            continue
        metrics, found = done['metrics'], []  # found: (name of the evaluation, metric, value, other entries)
        for reported, (metric, factor) in METRICS.items():
            if reported in metrics and (metric not in OPTIONAL or metric in stage.published):
                found.append((None, metric, metrics[reported] * factor, {}))
        for reported, value in metrics.items():
            evaluation, _, name = reported.partition('/')
            metric = name.rpartition('/')[2] if name.startswith(PROBE) else EVALUATED.get(reported)
            if evaluation not in stage.evaluations or metric is None:
                continue
            other = {}
            if name.startswith(f'{PROBE}random/'):  # the same for all stages of a backbone and seed
                key = stage.backbone, plan.seed_of(stage), metric
                if key in random:
                    continue
                random.add(key)
                other = dict(pretraining='random', checkpoint_sha256=None, published=None)
            found.append((evaluation, metric, value, other))
        curves = (read_json(work_dir / stage.name / 'occlusion' / OCCLUSION) or {}).get('curves', {})
        for mode, points in curves.items() if 'occlusion' in stage.evaluations else ():
            mean = sum(point['top1'] for point in points) / len(points)
            curve = [[round(point['information_loss'], 4), round(point['top1'], 4)] for point in points]
            found.append(('occlusion', f'occlusion_{mode}', mean, dict(curve=curve)))
        for evaluation, metric, value, other in found:
            path = Path(stage.evaluations[evaluation] if evaluation else stage.config)
            row = dict(backbone=stage.backbone, pretraining=stage.pretraining)
            cell = {} if evaluation or not stage.cells else dict(cells=[*map(list, stage.cells)])
            origin = dict(config=str(path.relative_to(root) if path.is_relative_to(root) else path))
            origin |= dict(checkpoint_sha256=done['checkpoint_sha256'], published=stage.published.get(metric))
            record = dict(task=EVALUATIONS[evaluation] if evaluation else stage.task, **row, **cell, data=stage.data)
            record |= dict(metric=metric, value=round(value, 4), seed=plan.seed_of(stage)) | origin | other
            records.append({key: entry for key, entry in record.items() if entry is not None})
    return records
