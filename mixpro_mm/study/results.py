"""Records of a study: every number with where it comes from."""

from pathlib import Path

from mixpro_mm.files import read_json
from mixpro_mm.study.plan import Plan
from mixpro_mm.study.stage import DONE

__all__ = ['METRICS', 'records_of']

# what the hosts' metrics report -> (name in the results, factor to percent)
METRICS = {
    'accuracy/top1': ('top1', 1.0),
    'mIoU': ('mIoU', 1.0),
    'coco/bbox_mAP': ('bbox_mAP', 100.0),
    'coco/segm_mAP': ('segm_mAP', 100.0),
}


def records_of(plan: Plan, work_dir: Path, root: Path) -> list[dict]:
    """One record per finished stage and metric, in percent; configs are named relative to ``root`` where below it."""
    records = []
    for stage in plan.stages:
        done = read_json(work_dir / stage.name / DONE)
        if stage.config is None or done is None:
            continue
        config = Path(stage.config)
        for reported, (metric, factor) in METRICS.items():
            if reported in done['metrics']:
                records.append(
                    dict(
                        task=stage.task,
                        backbone=stage.backbone,
                        pretraining=stage.pretraining,
                        metric=metric,
                        value=round(done['metrics'][reported] * factor, 4),
                        seed=plan.seed,
                        config=str(config.relative_to(root) if config.is_relative_to(root) else config),
                        checkpoint_sha256=done['checkpoint_sha256'],
                    )
                )
    return records
