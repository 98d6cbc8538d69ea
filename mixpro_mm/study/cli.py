"""Runs a study from its start to its report with one call."""

import argparse
import contextlib
import datetime
import importlib.metadata
import platform
import shlex
import sys
from dataclasses import replace
from pathlib import Path

from mixpro_mm.study.configs import check_start, check_tests, files_needed, look_at
from mixpro_mm.study.entries import DONE
from mixpro_mm.study.launch import LAUNCHERS, Launch, stage_command
from mixpro_mm.study.plan import Plan, read_plan, select
from mixpro_mm.study.results import records_of
from mixpro_mm.study.runner import StageError, StudyRunner, is_finished
from mixpro_mm.utils.arguments import counted, positive_int
from mixpro_mm.utils.files import read_json, write_json

__all__ = ['main', 'run_study']

TOOLKITS = ('onedl-mmengine', 'onedl-mmcv', 'onedl-mmpretrain', 'onedl-mmsegmentation', 'onedl-mmdetection')
PACKAGES = ('mixpro-mm', 'torch', *TOOLKITS, 'numpy', 'scipy', 'scikit-learn')


def run_study(plan: Plan, work_dir: Path, launch: Launch | None = None, only: list[str] | None = None) -> Path:
    """Run what is not finished in ``work_dir``, then write ``results.json``, ``report.html`` and ``report.md`` there.

    Args:
        plan: The study.
        work_dir: Its folder.
        launch: How stages are started; each as one process if omitted.
        only: Patterns of names: only these stages and those they wait for run; all finished stages are reported.

    Returns:
        The path of the HTML report.

    Raises:
        StageError: if stages fail; those that do not wait for them run before, but no report is written.
        RuntimeError: if another process works in ``work_dir``, or this machine cannot start the stages.
        ValueError: if a pattern matches nothing, a config is not valid, or GPUs cannot share a batch.
    """
    work_dir, launch = work_dir.resolve(), launch or Launch()
    selected = select(plan, only) if only else plan
    _check(selected, launch)
    launch.check_machine(stage for stage in selected.stages if stage.config)
    with contextlib.closing(StudyRunner(plan, work_dir, launch=launch)) as runner:
        if only:  # finished stages are reported, selected or not
            runner.check_finished()
        runner.plan = selected
        runner.run()
        records, study = records_of(plan, work_dir, Path.cwd()), _describe(plan, work_dir)
        portable = [{key: value for key, value in stage.items() if key != 'work_dir'} for stage in study['stages']]
        write_json(work_dir / 'results.json', dict(study=study | dict(stages=portable), records=records))
        # imported here: drawing needs the three toolkits
        from mixpro_mm.report.figures.predictions import draw_pictures
        from mixpro_mm.report.study import write_report

        shown = [stage for stage in plan.stages if plan.seed_of(stage) == plan.seed]  # one seed of each stage
        return write_report(work_dir, study, records, draw_pictures(replace(plan, stages=tuple(shown)), work_dir))[0]


def main(arguments=None) -> int:
    """Run a study config, or continue one that was interrupted; see docs/study.md."""
    args = _parser().parse_args(arguments)
    work_dir = args.work_dir or Path('work_dirs') / Path(args.config).stem.removeprefix('study_')
    try:
        launch = Launch(args.launcher, args.gpus, args.gpus_per_node, args.partition, args.srun_args)
        plan = read_plan(args.config, args.seeds, args.methods)
        if args.jobs is not None:
            plan = replace(plan, jobs=positive_int('--jobs', args.jobs))
        if args.dry_run:
            selected = select(plan, args.only) if args.only else plan
            _check(selected, launch)
            _dry_run(selected, work_dir.resolve(), launch)
            return 0
        report = run_study(plan, work_dir, launch, args.only)
    except KeyboardInterrupt:
        print('interrupted; the same command continues from here', file=sys.stderr)
        return 130
    except (StageError, RuntimeError, ValueError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f'results: {work_dir / "results.json"}\nreport:  {report}')
    return 0


def _check(plan: Plan, launch: Launch) -> None:
    """Raise ValueError if a config cannot be read, or is not valid for its stage and its launcher."""
    for stage in plan.stages:
        if stage.config:
            launch.check_fit(stage)
            check_tests(stage.settings, stage.tta)
            if stage.checkpoint:
                check_start(stage, plan.stage(stage.checkpoint))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=main.__doc__,
        epilog='When a stage fails, those that do not wait for it continue; the failures are listed at the end.',
    )
    add = parser.add_argument
    add('config', help='a study config, such as configs/digits/study_demo.py')
    add('--work-dir', type=Path, help='work_dirs/<name of the config> if omitted')
    add('--only', nargs='+', metavar='PATTERN', help="only stages of these names ('deit*') and those they wait for")
    add('--seeds', type=int, help='train everything with that many seeds, instead of what the study says')
    add('--methods', nargs='+', metavar='NAME', help='run and report only these pre-trainings')
    add('--dry-run', action='store_true', help='print the commands, what is finished and what is missing')
    add('--launcher', default='none', choices=LAUNCHERS, help='none: one process per stage; torchrun; srun')
    add('--gpus', type=int, help="GPUs per stage, with the same total batch; the stage's own number if omitted")
    add('--jobs', type=int, help='stages at a time, instead of what the study says')
    add('--gpus-per-node', type=int, default=8, help='slurm: GPUs of a node (8)')
    add('--partition', help='slurm: its default partition if omitted')
    add('--srun-args', type=shlex.split, default=[], help="slurm: more for srun: --srun-args='--time=3-0 --qos=long'")
    return parser


def _dry_run(plan: Plan, work_dir: Path, launch: Launch) -> None:
    """Print a shell script whose commands do what the study does; what is finished or missing is a comment."""
    print(f'# {plan.title}: {counted(len(plan.stages), "stage")}, {plan.jobs} at a time; nothing is started')
    created = [Path(stage.creates).absolute() for stage in plan.stages if stage.creates]
    for stage in plan.stages:
        notes = [f'after {", ".join(stage.waits_for)}'] if stage.waits_for else []
        notes += ['finished already'] if is_finished(stage, work_dir) else []
        print(f'# {stage.name}' + (f': {", ".join(notes)}' if notes else ''))
        needed = files_needed(stage.settings, starts=stage.checkpoint is not None) if stage.config else []
        for test in stage.evaluations.values():
            needed += files_needed(look_at(test), parts=('test',))
        missing = [path for path in dict.fromkeys(needed) if not path.exists()]
        outside = {path for path in missing if not any(path.absolute().is_relative_to(other) for other in created)}
        for path in missing:
            if path in outside and not any(other in path.parents for other in missing):
                print(f'# missing: {path}')
        print(shlex.join(stage_command(plan, stage, work_dir, launch)))


def _describe(plan: Plan, work_dir: Path) -> dict:
    """The study for the report: its stages, settings and versions."""
    stages = []
    for stage in plan.stages:
        if stage.config:
            row = dict(name=stage.name, task=stage.task, backbone=stage.backbone, pretraining=stage.pretraining)
            seconds = (read_json(work_dir / stage.name / DONE) or {}).get('seconds')
            stages.append(row | dict(seed=plan.seed_of(stage), work_dir=str(work_dir / stage.name), seconds=seconds))
    seeds = dict.fromkeys(str(stage['seed']) for stage in stages)
    versions = dict(Python=platform.python_version())
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # the original toolkits have other names
            versions[name] = importlib.metadata.version(name)
    settings = {'seed': ', '.join(seeds), 'stages at a time': str(plan.jobs)}
    date = datetime.date.today().isoformat()
    return dict(title=plan.title, date=date, stages=stages, versions=versions, settings=settings)


if __name__ == '__main__':
    sys.exit(main())
