"""The study from start to report, as one call."""

import argparse
import contextlib
import datetime
import importlib.metadata
import platform
import sys
from pathlib import Path

from rich.console import Console

from mixpro_mm.files import read_json, write_json
from mixpro_mm.study.plan import Plan, read_plan
from mixpro_mm.study.results import records_of
from mixpro_mm.study.runner import StageError, StudyRunner
from mixpro_mm.study.stage import DONE

__all__ = ['main', 'run_study']

PACKAGES = (
    'mixpro-mm',
    'torch',
    'onedl-mmengine',
    'onedl-mmcv',
    'onedl-mmpretrain',
    'onedl-mmsegmentation',
    'onedl-mmdetection',
)


def run_study(plan: Plan, work_dir: Path) -> Path:
    """Run what is not finished, then write ``results.json``, ``report.html`` and ``report.md``.

    Returns:
        The path of the HTML report.

    Raises:
        StageError: if a stage fails.
        RuntimeError: if another process works in ``work_dir``.
    """
    work_dir = work_dir.resolve()
    with contextlib.closing(StudyRunner(plan, work_dir)) as runner:
        runner.run()
        records = records_of(plan, work_dir, Path.cwd())
        write_json(work_dir / 'results.json', records)
        # only now: drawing needs the three toolkits, and should cost nothing where a stage fails
        from mixpro_mm.reporting.report import write_report
        from mixpro_mm.study.pictures import draw_pictures

        return write_report(work_dir, _describe(plan, work_dir), records, draw_pictures(plan, work_dir))[0]


def main(arguments=None) -> int:
    """Run a study config, or go on with one that was interrupted."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument('config', help='a study config, such as configs/digits/study_demo.py')
    parser.add_argument('--work-dir', type=Path, help='work_dirs/<name of the config> if omitted')
    args = parser.parse_args(arguments)
    work_dir = args.work_dir or Path('work_dirs') / Path(args.config).stem.removeprefix('study_')
    console = Console(stderr=True)
    try:
        report = run_study(read_plan(args.config), work_dir)
    except KeyboardInterrupt:
        console.print('interrupted; the same command goes on from here')
        return 130
    except (StageError, RuntimeError, ValueError, FileNotFoundError) as error:
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        return 1
    print(f'results: {work_dir / "results.json"}\nreport:  {report}')
    return 0


def _describe(plan: Plan, work_dir: Path) -> dict:
    stages = [
        dict(
            name=stage.name,
            task=stage.task,
            backbone=stage.backbone,
            pretraining=stage.pretraining,
            work_dir=str(work_dir / stage.name),
            seconds=(read_json(work_dir / stage.name / DONE) or {}).get('seconds'),
        )
        for stage in plan.stages
        if stage.config
    ]
    return dict(
        title=plan.title,
        date=datetime.date.today().isoformat(),
        stages=stages,
        versions=_versions(),
        settings=dict(seed=str(plan.seed), **{'stages at a time': str(plan.jobs)}),
    )


def _versions() -> dict[str, str]:
    versions = dict(Python=platform.python_version())
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # the original packages go by other names
            versions[name] = importlib.metadata.version(name)
    return versions


if __name__ == '__main__':
    sys.exit(main())
