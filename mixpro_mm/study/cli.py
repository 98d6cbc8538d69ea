"""The study from start to report, as one call."""

import argparse
import collections
import contextlib
import datetime
import importlib.metadata
import platform
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from mixpro_mm.files import read_json, write_json
from mixpro_mm.study.configs import check_start, look_at
from mixpro_mm.study.dry_run import describe
from mixpro_mm.study.estimate import gpu_hours
from mixpro_mm.study.gpus import visible_gpus
from mixpro_mm.study.launch import LAUNCHERS, Launch
from mixpro_mm.study.plan import Plan, read_plan, select
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
    'numpy',
    'scipy',
    'scikit-learn',
)


def run_study(plan: Plan, work_dir: Path, launch: Launch | None = None, only: list[str] | None = None) -> Path:
    """Run what is not finished, then write ``results.json``, ``report.html`` and ``report.md``.

    Args:
        plan: The study.
        work_dir: Its folder.
        launch: How stages are started; each as one process if omitted.
        only: Patterns of names: only these stages and those they wait for are run; all that are finished are reported.

    Returns:
        The path of the HTML report.

    Raises:
        StageError: if stages fail; those that do not wait for them are run before, but nothing is reported.
        RuntimeError: if another process works in ``work_dir``, or this machine cannot start the stages so.
        ValueError: if a pattern matches nothing, a config cannot be read, or GPUs cannot share a batch.
    """
    work_dir, launch = work_dir.resolve(), launch or Launch()
    selected = select(plan, only) if only else plan
    launch.check_fit(selected.stages)
    launch.check_machine(selected.stages)
    for stage in selected.stages:
        if stage.checkpoint:
            check_start(stage.name, stage.config, plan.stage(stage.checkpoint).config)
    with contextlib.closing(StudyRunner(plan, work_dir, launch=launch)) as runner:
        if only:  # what is finished is reported, selected or not
            runner.check_finished()
        runner.plan = _with_costs(selected)
        runner.run()
        records, study = records_of(plan, work_dir, Path.cwd()), _describe(plan, work_dir)
        write_json(work_dir / 'results.json', dict(study=_anywhere(study), records=records))
        # only now: drawing needs the three toolkits, and should cost nothing where a stage fails
        from mixpro_mm.reporting.report import write_report
        from mixpro_mm.study.pictures import draw_pictures

        return write_report(work_dir, study, records, draw_pictures(_first_seed(plan), work_dir))[0]


def main(arguments=None) -> int:
    """Run a study config, or go on with one that was interrupted. docs/study.md says more."""
    args = _parser().parse_args(arguments)
    work_dir = args.work_dir or Path('work_dirs') / Path(args.config).stem.removeprefix('study_')
    console = Console(stderr=True)
    try:
        launch = Launch(args.launcher, args.gpus, args.gpus_per_node, args.partition, args.srun_args)
        plan = _with_jobs(read_plan(args.config, args.seeds, args.methods), args.jobs, launch)
        if args.dry_run:
            for line in describe(select(plan, args.only) if args.only else plan, work_dir.resolve(), launch):
                print(line)
            return 0
        report = run_study(plan, work_dir, launch, args.only)
    except KeyboardInterrupt:
        console.print('interrupted; the same command goes on from here')
        return 130
    except (StageError, RuntimeError, ValueError, FileNotFoundError) as error:
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        return 1
    print(f'results: {work_dir / "results.json"}\nreport:  {report}')
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=main.__doc__,
        epilog='Where a stage fails, those that do not wait for it go on; in the end the failures are listed.',
    )
    parser.add_argument('config', help='a study config, such as configs/digits/study_demo.py')
    parser.add_argument('--work-dir', type=Path, help='work_dirs/<name of the config> if omitted')
    parser.add_argument(
        '--only', nargs='+', metavar='PATTERN', help="run only stages named so ('deit-small*') and what they wait for"
    )
    parser.add_argument('--seeds', type=int, help='train everything with so many seeds, instead of what the study says')
    parser.add_argument(
        '--methods', nargs='+', metavar='NAME', help='only these pre-trainings, and only they are reported'
    )
    parser.add_argument('--dry-run', action='store_true', help='print the commands, estimated cost and what is missing')
    parser.add_argument(
        '--launcher',
        default='none',
        choices=LAUNCHERS,
        help='none: one process a stage; pytorch: torchrun; slurm: srun',
    )
    parser.add_argument(
        '--gpus', type=int, help='GPUs a stage, the total batch stays; the number its config is made for if omitted'
    )
    parser.add_argument('--jobs', type=int, help='stages at a time, instead of what the study says')
    parser.add_argument('--gpus-per-node', type=int, help='slurm: of a node (8)')
    parser.add_argument('--partition', help='slurm: its default partition if omitted')
    parser.add_argument('--srun-args', default='', help="slurm: more for srun: --srun-args='--time=3-0 --qos=long'")
    return parser


def _with_jobs(plan: Plan, jobs: int | None, launch: Launch) -> Plan:
    """The plan with as many stages at a time as was asked for and can be."""
    if jobs is not None and jobs < 1:
        raise ValueError(f'--jobs {jobs}: at least one stage runs at a time')
    if launch.launcher == 'pytorch':
        there, least = len(visible_gpus()), min((launch.processes(s) for s in plan.stages if s.config), default=1)
        most = max(1, there // least)
        if (jobs or 1) > most:
            raise ValueError(
                f'--jobs {jobs}: with --launcher pytorch stages take the same GPUs, so at most {most} at a time: '
                f'{there} GPUs are visible, and a stage takes {least} or more'
            )
        return replace(plan, jobs=min(jobs or plan.jobs, most))
    return replace(plan, jobs=jobs or plan.jobs)


def _with_costs(plan: Plan) -> Plan:
    """The plan with estimated hours as costs, by which the display tells the time left, if all that train have one."""
    hours = {}
    for stage in plan.stages:
        if stage.config:
            hours[stage.name] = gpu_hours(stage, look_at(stage.config)) if stage.gmacs else None
    if not hours or None in hours.values():
        return plan
    return replace(plan, stages=tuple(replace(s, cost=hours.get(s.name, 0.1)) for s in plan.stages))


def _first_seed(plan: Plan) -> Plan:
    """The plan as it shows in pictures: of each stage the first seed."""
    return replace(plan, stages=tuple(stage for stage in plan.stages if plan.seed_of(stage) == plan.seed))


def _anywhere(study: dict) -> dict:
    """The description without places on this machine."""
    stages = [{key: value for key, value in stage.items() if key != 'work_dir'} for stage in study['stages']]
    return study | dict(stages=stages)


def _describe(plan: Plan, work_dir: Path) -> dict:
    done = {stage.name: read_json(work_dir / stage.name / DONE) or {} for stage in plan.stages if stage.config}
    stages = [
        dict(
            name=stage.name,
            task=stage.task,
            backbone=stage.backbone,
            pretraining=stage.pretraining,
            seed=plan.seed_of(stage),
            work_dir=str(work_dir / stage.name),
            seconds=done[stage.name].get('seconds'),
        )
        for stage in plan.stages
        if stage.config
    ]
    seeds = dict.fromkeys(str(plan.seed_of(stage)) for stage in plan.stages if stage.config)
    settings = dict(seed=', '.join(seeds), **{'stages at a time': str(plan.jobs)})
    if any(stage.gpus or done.get(stage.name, {}).get('gpus', 1) > 1 for stage in plan.stages):
        settings['GPUs x images a step'] = _batches([stage for stage in done.values() if 'gpus' in stage])
    return dict(
        title=plan.title,
        date=datetime.date.today().isoformat(),
        stages=stages,
        versions=_versions(),
        settings=settings,
    )


def _batches(done: list[dict]) -> str:
    """On how many GPUs stages ran with how many images each, times batches accumulated: '8 x 128 (42 stages)'."""
    counts = collections.Counter((s['gpus'], s['batch_size'], s.get('accumulated', 1)) for s in done)
    return ', '.join(
        f'{gpus} x {batch}{f" x {accumulated}" if accumulated > 1 else ""} ({count} stage{"s" * (count > 1)})'
        for (gpus, batch, accumulated), count in counts.items()
    )


def _versions() -> dict[str, str]:
    versions = dict(Python=platform.python_version())
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # the original packages go by other names
            versions[name] = importlib.metadata.version(name)
    return versions


if __name__ == '__main__':
    sys.exit(main())
