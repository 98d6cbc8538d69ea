"""Records of a study: every number with where it comes from."""

from pathlib import Path

from mixpro_mm.files import read_json
from mixpro_mm.study.metrics import METRICS, OPTIONAL
from mixpro_mm.study.plan import Plan
from mixpro_mm.study.stage import DONE

__all__ = ['records_of']


def records_of(plan: Plan, work_dir: Path, root: Path) -> list[dict]:
    """One record per finished stage and metric, in percent; configs are named relative to ``root`` where below it.

    Where the stage names a published number for the metric, the record carries it as ``published``.
    """
    records = []
    for stage in plan.stages:
        done = read_json(work_dir / stage.name / DONE)
        if stage.config is None or done is None:
            continue
        config = Path(stage.config)
        for reported, (metric, factor) in METRICS.items():
            if reported not in done['metrics'] or (metric in OPTIONAL and metric not in stage.published):
                continue
            record = dict(
                task=stage.task,
                backbone=stage.backbone,
                pretraining=stage.pretraining,
                metric=metric,
                value=round(done['metrics'][reported] * factor, 4),
                seed=plan.seed,
                config=str(config.relative_to(root) if config.is_relative_to(root) else config),
                checkpoint_sha256=done['checkpoint_sha256'],
            )
            if metric in stage.published:
                record['published'] = stage.published[metric]
            records.append(record)
    return records
