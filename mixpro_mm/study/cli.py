"""The command line of studies."""

import argparse
import contextlib
import datetime
import importlib.metadata
import platform
import shlex
import sys
from dataclasses import replace
from pathlib import Path

from mixpro_mm.study.cluster import ClusterRunner, batches, check_commands, described
from mixpro_mm.study.configs import cached_config, check_start, check_tests, files_needed
from mixpro_mm.study.entries import DONE
from mixpro_mm.study.job import job_parameters
from mixpro_mm.study.launch import LAUNCHERS, Launch, stage_command
from mixpro_mm.study.plan import Plan, read_plan, select
from mixpro_mm.study.results import records_of
from mixpro_mm.study.runner import StudyRunner, is_finished
from mixpro_mm.utils.arguments import counted, positive_int
from mixpro_mm.utils.files import read_json, write_json

__all__ = ['main']

PACKAGES = ('mixpro-mm', 'torch', 'onedl-mmengine', 'onedl-mmcv', 'onedl-mmpretrain', 'onedl-mmsegmentation')
PACKAGES += ('onedl-mmdetection', 'numpy', 'scipy', 'scikit-learn')


def _run(plan: Plan, selected: Plan, work_dir: Path, launch: Launch) -> Path:
    """Run the unfinished stages of ``selected``, report all finished ones of ``plan``, and return the HTML page."""
    launch.check_machine(stage for stage in selected.stages if stage.config)
    kind = ClusterRunner if launch.launcher == 'slurm' else StudyRunner
    with contextlib.closing(kind(plan, work_dir, launch)) as runner:
        if selected is not plan:
            runner.check_finished()
        runner.plan = selected
        runner.run()
        records, study = records_of(plan, work_dir, Path.cwd()), _describe(plan, work_dir)
        portable = [{key: value for key, value in stage.items() if key != 'work_dir'} for stage in study['stages']]
        write_json(work_dir / 'results.json', dict(study=study | dict(stages=portable), records=records))
        # here, because drawing imports the toolkits
        from mixpro_mm.report.figures.predictions import draw_pictures
        from mixpro_mm.report.study import write_report

        shown = [stage for stage in plan.stages if plan.seed_of(stage) == plan.seed]  # one seed for each stage
        return write_report(work_dir, study, records, draw_pictures(replace(plan, stages=tuple(shown)), work_dir))[0]


def main(arguments=None) -> int:
    """Run the study of a config, or resume it after an interruption; see docs/study.md."""
    args = _parser().parse_args(arguments)
    work_dir = args.work_dir or Path('work_dirs') / Path(args.config).stem.removeprefix('study_')
    try:
        launch = Launch(args.launcher, args.gpus, args.gpus_per_node, args.partition, dict(args.slurm))
        plan = read_plan(args.config, args.seeds, args.methods)
        if args.jobs is not None:
            plan = replace(plan, jobs=positive_int('--jobs', args.jobs))
        if args.no_evaluations:
            plan = replace(plan, stages=tuple(replace(stage, evaluations={}) for stage in plan.stages))
        selected = select(plan, args.only) if args.only else plan
        if args.launcher == 'slurm':
            check_commands(selected)
            job_parameters(launch)
        for stage in (stage for stage in selected.stages if stage.config):
            launch.check_fit(stage)
            check_tests(stage.settings, stage.tta)
            if stage.checkpoint:
                check_start(stage, selected.stage(stage.checkpoint))
        if args.dry_run:
            _dry_run(selected, work_dir.resolve(), launch)
            return 0
        report = _run(plan, selected, work_dir.resolve(), launch)
    except KeyboardInterrupt as interrupt:
        print(*(interrupt.args or ['interrupted; the same command resumes the study']), file=sys.stderr)
        return 130
    except (RuntimeError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f'results: {work_dir / "results.json"}\nreport:  {report}')
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=main.__doc__)
    add = parser.add_argument
    add('config', help='study config, such as configs/digits/study_demo.py')
    add('--work-dir', type=Path, help='default: work_dirs/<name of the config>')
    add('--only', nargs='+', metavar='PATTERN', help="stages to run ('deit*'), with those they wait for")
    add('--seeds', type=int, help='number of seeds of all stages, instead of those of the study')
    add('--methods', nargs='+', metavar='NAME', help='pre-trainings to run and report')
    add('--no-evaluations', action='store_true', help='leave out the further tests of classifiers')
    add('--dry-run', action='store_true', help='print the commands, finished stages and missing files')
    add('--launcher', default='none', choices=LAUNCHERS, help='none: one process per stage; torchrun; Slurm jobs')
    add('--gpus', type=int, help='GPUs of each stage, which keeps its total batch size; default: those of the study')
    add('--jobs', type=int, help='stages that run at a time, instead of those of the study')
    add('--gpus-per-node', type=int, default=8, help='slurm: GPUs of a node; default: 8')
    add('--partition', help='slurm: partition; default: that of the cluster')
    add('--slurm', nargs='+', type=_parameter, default=[], metavar='KEY=VALUE', help='time=1440 mem=200GB qos=long')
    return parser


def _parameter(text: str) -> tuple[str, int | str]:
    key, sign, value = text.partition('=')
    if not key or not sign:
        raise argparse.ArgumentTypeError(f'{text!r} is not KEY=VALUE')
    return key, int(value) if value.isdecimal() else value


def _dry_run(plan: Plan, work_dir: Path, launch: Launch) -> None:
    """Print the commands of the study as a shell script, with comments on finished stages and missing files."""
    print(f'# {plan.title}: {counted(len(plan.stages), "stage")}, {plan.jobs} at a time; nothing is started')
    created = [Path(stage.creates).absolute() for stage in plan.stages if stage.creates]
    order, heads = plan.stages, {}
    if launch.launcher == 'slurm':
        jobs = [stage for stage in plan.stages if stage.config and not is_finished(stage, work_dir)]
        found = batches(plan, work_dir, launch, jobs)
        heads = {batch.stages[0].name: described(batch, launch) for batch in found}
        order = [stage for stage in plan.stages if stage not in jobs] + [s for batch in found for s in batch.stages]
    for stage in order:
        if stage.name in heads:
            print(f'# {heads[stage.name]}')
        notes = [f'after {", ".join(stage.waits_for)}'] if stage.waits_for else []
        notes += ['finished already'] if is_finished(stage, work_dir) else []
        print(f'# {stage.name}' + (f': {", ".join(notes)}' if notes else ''))
        needed = files_needed(stage.settings, starts=stage.checkpoint is not None) if stage.config else []
        for test in stage.evaluations.values():
            needed += files_needed(cached_config(test), parts=('test',))
        missing = [path for path in dict.fromkeys(needed) if not path.exists()]
        for path in missing:
            is_created = any(path.absolute().is_relative_to(folder) for folder in created)
            if not is_created and not {*path.parents} & {*missing}:
                print(f'# missing: {path}')
        print(shlex.join(stage_command(plan, stage, work_dir, launch)))


def _describe(plan: Plan, work_dir: Path) -> dict:
    """Return the finished stages, settings and versions for the report."""
    trained, stages = [stage for stage in plan.stages if stage.config], []
    for stage in trained:
        if done := read_json(work_dir / stage.name / DONE):
            row = dict(name=stage.name, task=stage.task, backbone=stage.backbone, pretraining=stage.pretraining)
            row |= dict(seed=plan.seed_of(stage), work_dir=str(work_dir / stage.name), seconds=done['seconds'])
            stages.append(row)
    versions = dict(Python=platform.python_version())
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    seeds = ', '.join(dict.fromkeys(str(stage['seed']) for stage in stages))
    settings, date = {'seed': seeds, 'stages at a time': str(plan.jobs)}, datetime.date.today().isoformat()
    if unfinished := sum(not is_finished(stage, work_dir) for stage in trained):
        settings['unfinished stages'] = str(unfinished)
    return dict(title=plan.title, about=plan.about, date=date, stages=stages, versions=versions, settings=settings)
