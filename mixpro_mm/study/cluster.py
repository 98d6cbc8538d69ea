"""Stages as jobs of a Slurm cluster, submitted by submitit."""

import pickle
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from mixpro_mm.study.job import SIGNAL_DELAY, StageJob, job_parameters
from mixpro_mm.study.launch import Launch
from mixpro_mm.study.plan import Plan, Stage
from mixpro_mm.study.runner import JOB, LOG, QUIET, StudyRunner, deferred_interrupts, is_finished
from mixpro_mm.utils.arguments import counted
from mixpro_mm.utils.files import read_json, write_json

__all__ = ['Batch', 'ClusterRunner', 'batches', 'check_commands', 'described', 'slurm_executor']

TIMEOUTS = 100  # a job is requeued at most so often at its time limit
CHECK = 60  # seconds between two questions to Slurm


def slurm_executor(work_dir: Path, launch: Launch):
    """Return submitit's executor, which submits a batch of jobs as an array.

    Raises:
        RuntimeError: if submitit is not installed.
        ValueError: if a parameter of ``launch.slurm`` is invalid.
    """
    try:
        from submitit import SlurmExecutor
    except ImportError:
        raise RuntimeError('--launcher slurm needs submitit: pip install submitit') from None
    executor, shared = SlurmExecutor(work_dir / 'jobs', max_num_timeout=TIMEOUTS), job_parameters(launch)
    more = {'kill-on-invalid-dep': 'yes', 'requeue': True}
    # since Slurm 22.05, srun does not take the number of CPUs from the job
    srun = [f'--cpus-per-task={shared["cpus_per_task"]}', '--kill-on-bad-exit=1']
    try:
        executor.update_parameters(additional_parameters=more, srun_args=srun, signal_delay_s=SIGNAL_DELAY, **shared)
    except (TypeError, ValueError) as error:
        raise ValueError(f'--slurm: {" ".join(str(error).split())}') from None
    return executor


def check_commands(plan: Plan) -> None:
    """Raise ValueError if a command waits for a stage that trains, because commands run before all jobs."""
    for stage in (stage for stage in plan.stages if stage.command):
        for name in stage.waits_for:
            if plan.stage(name).config:
                raise ValueError(f'stage {stage.name} is a command that waits for {name}: not with --launcher slurm')


class Batch(NamedTuple):
    """Stages that need equally many nodes, and GPUs on each, and wait for the same unfinished stages."""

    nodes: int
    gpus: int
    parents: tuple[str, ...]
    stages: list[Stage]


def batches(plan: Plan, work_dir: Path, launch: Launch, stages: Iterable[Stage]) -> list[Batch]:
    """Return the jobs, or arrays of jobs, of ``stages``. A batch comes after those it waits for."""
    found: dict[tuple, list[Stage]] = {}
    for stage in stages:
        waits_for = [plan.stage(name) for name in stage.waits_for if plan.stage(name).config]  # commands are finished
        parents = {parent.name for parent in waits_for if not is_finished(parent, work_dir)}
        found.setdefault((*launch.nodes(stage), tuple(sorted(parents))), []).append(stage)
    return [Batch(*alike, group) for alike, group in found.items()]


def described(batch: Batch, launch: Launch) -> str:
    """Return a line on a job or an array of jobs."""
    what = 'job' if len(batch.stages) == 1 else f'array of {len(batch.stages)} jobs'
    options = ', '.join(f'{name} {value}' for name, value in job_parameters(launch).items())
    after = f'; after {", ".join(batch.parents)}' if batch.parents else ''
    return f'{what}: {counted(batch.nodes, "node")} x {counted(batch.gpus, "GPU")}, {options}{after}'


class ClusterRunner(StudyRunner):
    """Runs the commands of a plan here, then all other stages as jobs, which continue if this process ends.

    Args:
        plan: The study.
        work_dir: Its folder, on a file system that the nodes share.
        launch: Resources of the stages.
        executor: An executor of submitit. Default: that of ``slurm_executor``. One without dependencies gets a stage
            when those it waits for are finished.
    """

    def __init__(self, plan: Plan, work_dir: Path, launch: Launch, executor=None):
        self.executor = executor or slurm_executor(work_dir, launch)
        self.has_dependencies = self.executor.name() == 'slurm'
        super().__init__(plan, work_dir, launch)

    def run(self) -> None:
        """Run all unfinished stages; see ``StudyRunner.run``. Jobs of an earlier call are waited for."""
        plan, commands = self.plan, tuple(stage for stage in self.plan.stages if stage.command)
        self.check_finished()
        if not all(is_finished(stage, self.work_dir) for stage in commands):
            self.plan = replace(plan, stages=commands)
            super().run()
            self.plan = plan
        waiting = self._begin()
        self.checked = time.monotonic()
        with deferred_interrupts() as interrupts:
            waiting = self.attach(waiting)
            while waiting or self.jobs:
                if interrupts:
                    ids = dict.fromkeys(job.job_id.split('_')[0] for job, _ in self.jobs.values())
                    raise KeyboardInterrupt(
                        'interrupted; the jobs continue: the same command waits for them and writes the report, '
                        f'`scancel {" ".join(ids)}` ends them'
                    )
                waiting = self.submit(waiting)
                time.sleep(1)
                self._collect_jobs()
                waiting = self._drop(waiting)
                if time.monotonic() - self.printed > QUIET:
                    running = [name for name, (job, _) in self.jobs.items() if job.state == 'RUNNING']
                    shares = [f'{name} {self._share(name):.0%}' for name in running]
                    self._print(', '.join([*shares, f'{len(self.jobs) - len(running)} queued']))
        self._raise_failures()

    def attach(self, waiting: list[Stage]) -> list[Stage]:
        """Return the stages that have no queued or running job; wait for the jobs of the others."""
        records = {stage.name: read_json(self.work_dir / stage.name / JOB) for stage in waiting}
        make, folder = self.executor.job_class, self.executor.folder
        found = {name: make(folder, job['id'], range(job['tasks'])) for name, job in records.items() if job}
        for name, job in found.items():
            stage = self.plan.stage(name)
            parents = (self.plan.stage(parent) for parent in stage.waits_for)
            valid = all(parent.name in self.jobs or is_finished(parent, self.work_dir) for parent in parents)
            if valid and not job.done():
                self.jobs[name] = job, time.monotonic()
                self._print(f'{name}: waits for job {job.job_id}')
            else:  # it failed, or waits for a job that did
                self._print(f'{name}: job {job.job_id} has ended or cannot start, submitted again')
                if not job.done():
                    job.cancel(check=False)
        return [stage for stage in waiting if stage.name not in self.jobs]

    def submit(self, waiting: list[Stage]) -> list[Stage]:
        """Submit the stages whose dependencies can be expressed or are finished, and return the others."""
        for nodes, gpus, parents, stages in batches(self.plan, self.work_dir, self.launch, waiting):
            if parents and not self.has_dependencies:
                continue
            after = ':'.join(['afterok', *(self.jobs[name][0].job_id for name in parents)])
            self.executor.update_parameters(
                job_name=stages[0].name if len(stages) == 1 else self.work_dir.name,
                nodes=nodes,
                ntasks_per_node=gpus,
                gpus_per_node=gpus,
                dependency=after if parents else None,
            )
            with self.executor.batch():
                jobs = [self.executor.submit(StageJob(self.plan, s.name, self.work_dir, self.launch)) for s in stages]
            for stage, job in zip(stages, jobs, strict=True):
                (self.work_dir / stage.name).mkdir(exist_ok=True)
                write_json(self.work_dir / stage.name / JOB, dict(id=job.job_id, tasks=job.num_tasks))
                self.jobs[stage.name] = job, time.monotonic()
                self._print(f'{stage.name}: job {job.job_id}')
        return [stage for stage in waiting if stage.name not in self.jobs]

    def _collect_jobs(self) -> None:
        """Remove the stages that have ended or will not run.

        Results are looked for each time, failures after ``CHECK`` seconds.
        """
        due = time.monotonic() - self.checked > CHECK
        if due:
            self.checked = time.monotonic()
            for job, _ in list(self.jobs.values())[:1]:
                job.get_info(mode='force')  # of all jobs
        for name, (job, begin) in list(self.jobs.items()):  # in the order of submission: dependencies come first
            stage = self.plan.stage(name)
            if self._is_lost(stage):  # Slurm ends its job
                del self.jobs[name]
                self.dropped.append(name)
            elif is_finished(stage, self.work_dir) or (due and job.done()):
                del self.jobs[name]
                how = '' if is_finished(stage, self.work_dir) else _failure(job)
                log = self.work_dir / name / LOG
                self._end(stage, begin, how and f'job {job.job_id}: {how}', log if log.exists() else job.paths.stderr)
            else:
                continue
            (self.work_dir / name / JOB).unlink(missing_ok=True)


def _failure(job) -> str:
    """Return how a job failed, the last line of a task's error or the state in Slurm; empty if it did not."""
    for task in range(job.num_tasks):
        path = job.task(task).paths.result_pickle
        outcome, result = pickle.loads(path.read_bytes()) if path.exists() else ('', '')
        if outcome == 'error':
            return result.strip().splitlines()[-1].removeprefix('RuntimeError: ')
    return '' if job.state == 'COMPLETED' else job.state
