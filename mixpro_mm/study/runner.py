"""Processes of the stages of a study, several at a time, resumed after an interruption."""

import fcntl
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mixpro_mm.study.configs import fingerprint, stage_config
from mixpro_mm.study.entries import DONE
from mixpro_mm.study.evaluate import evaluation_mark
from mixpro_mm.study.launch import Launch, stage_command
from mixpro_mm.study.plan import Plan, Stage
from mixpro_mm.study.processes import start_stage, visible_gpus
from mixpro_mm.study.stage import PROGRESS, other_stage
from mixpro_mm.utils.arguments import counted
from mixpro_mm.utils.files import read_json, write_json

__all__ = ['StageError', 'StudyRunner', 'deferred_interrupts', 'is_finished']

LOG = 'stage.log'
JOB = 'job.json'  # the job of a stage in Slurm
QUIET = 30  # seconds between two lines of progress
PATIENCE = 60  # seconds until a file on a shared file system is visible on other nodes


class StageError(RuntimeError):
    """Raised if stages failed. The message has the last lines of each log, and its path."""


class StudyRunner:
    """Runs a plan in the folder of the study, ``work_dir``, with one folder for each stage.

    Raises:
        RuntimeError: if another process runs a study in this folder.
        OSError: if the folder cannot be created or locked.
    """

    def __init__(self, plan: Plan, work_dir: Path, launch: Launch | None = None):
        self.plan, self.work_dir, self.launch = plan, work_dir, launch or Launch()
        self.jobs: dict[str, tuple[subprocess.Popen, float, list[str]]] = {}  # process, start, GPUs
        self._lock = _lock(work_dir)

    def run(self) -> None:
        """Run all unfinished stages. If one fails, those that do not wait for it continue.

        Raises:
            RuntimeError: if a finished stage had another config, seed or checkpoint.
            StageError: at the end, if stages failed. The next run resumes them.
        """
        self.check_finished()
        waiting = self._begin()
        for stage in waiting:
            if job := read_json(self.work_dir / stage.name / JOB):
                raise RuntimeError(
                    f'stage {stage.name} has job {job["id"]} in Slurm: use --launcher slurm, or end the job and remove '
                    f'{self.work_dir / stage.name / JOB}'
                )
        self.gpus = [] if self.launch.launcher == 'slurm' else visible_gpus()
        shares = -(-min(self.plan.jobs, self.todo) // max(len(self.gpus), 1)) if self.launch.launcher == 'none' else 1
        self.slots = self.gpus * shares  # free slots
        with deferred_interrupts() as interrupts:
            try:
                while waiting or self.jobs:
                    if interrupts:
                        raise KeyboardInterrupt
                    waiting = [stage for stage in self._drop(waiting) if not self._start(stage)]
                    time.sleep(0.5)
                    self._collect()
                    if time.monotonic() - self.printed > QUIET:
                        self._print(', '.join(f'{name} {self._share(name):.0%}' for name in self.jobs))
            finally:
                self._stop()
        self._raise_failures()

    def _begin(self) -> list[Stage]:
        """Print how many stages there are, and return the unfinished ones."""
        waiting = [stage for stage in self.plan.stages if not is_finished(stage, self.work_dir)]
        self.failed: dict[str, str] = {}  # name -> message
        self.dropped: list[str] = []  # names of stages that wait for a failed one
        self.begin = self.printed = time.monotonic()
        self.done, self.todo, total = 0, len(waiting), len(self.plan.stages)
        skipped = f', {total - self.todo} finished already' if self.todo < total else ''
        print(f'{self.plan.title}: {counted(total, "stage")}{skipped}', flush=True)
        return waiting

    def _is_lost(self, stage: Stage) -> bool:
        """Return whether a stage waits for one that failed or will not run."""
        return not {*self.failed, *self.dropped}.isdisjoint(stage.waits_for)

    def _drop(self, waiting: list[Stage]) -> list[Stage]:
        """Record the stages that will not run because they wait for a failed one, and return the others."""
        for stage in waiting:
            if self._is_lost(stage):
                self.dropped.append(stage.name)
        return [stage for stage in waiting if stage.name not in self.dropped]

    def _raise_failures(self) -> None:
        if self.failed:
            several = [f'{len(self.failed)} stages failed: {", ".join(self.failed)}'] if len(self.failed) > 1 else []
            dropped = ', '.join(self.dropped)
            skipped = [f'not run because they wait for a failed stage: {dropped}'] if dropped else []
            raise StageError('\n'.join([*several, *self.failed.values(), *skipped]))

    def close(self) -> None:
        """Unlock the folder."""
        self._lock.close()

    def check_finished(self) -> None:
        """Raise RuntimeError if a finished stage had another config, seed, checkpoint, evaluation or command."""
        for stage in (stage for stage in self.plan.stages if is_finished(stage, self.work_dir)):
            folder, problem = self.work_dir / stage.name, ''
            done = read_json(folder / DONE)
            parent = read_json(self.work_dir / stage.checkpoint / DONE) if stage.checkpoint else {}
            if stage.command and done.get('command') not in (None, list(stage.command)):
                problem = f'by another command ({" ".join(done["command"])[:80]}): remove {folder} to run it again'
            elif parent is None:
                start = self.work_dir / stage.checkpoint
                problem = f'it started from stage {stage.checkpoint}, which is not: restore {start}, or remove {folder}'
            elif stage.config:
                start, sha256 = parent.get('checkpoint'), parent.get('checkpoint_sha256')
                config = stage_config(stage.config, folder, self.plan.seed_of(stage), start, stage.cfg_options)
                if done.get('fingerprint') != fingerprint(config, sha256):
                    problem = other_stage(folder, config, sha256)
                for name, path in stage.evaluations.items():
                    if done['evaluations'][name] != evaluation_mark(path):
                        problem = f'its evaluation {name} had another config: remove {folder / DONE} to test again'
            if problem:
                raise RuntimeError(f'stage {stage.name} is finished, but {problem}; or choose another work dir')

    def _start(self, stage: Stage) -> bool:
        """Start a stage if it is ready and enough GPUs are free."""
        ready = all(is_finished(self.plan.stage(name), self.work_dir) for name in stage.waits_for)
        if len(self.jobs) >= self.plan.jobs or not ready:
            return False
        ranks, at_once = self.launch.processes(stage) if stage.config else 1, min(self.plan.jobs, len(self.plan.stages))
        # the GPUs with the most free slots
        taken = sorted((name for name in self.gpus if name in self.slots), key=self.slots.count, reverse=True)[:ranks]
        if self.gpus and len(taken) < ranks:
            return False
        for name in taken:
            self.slots.remove(name)
        if self.gpus and self.launch.launcher == 'pytorch':
            at_once = min(at_once, len(self.gpus) // ranks)
        threads = max(1, len(os.sched_getaffinity(0)) // (at_once * ranks))
        environment = os.environ | (dict(CUDA_VISIBLE_DEVICES=','.join(taken)) if taken else {})
        command = stage_command(self.plan, stage, self.work_dir, self.launch)
        process = start_stage(command, self.work_dir / stage.name / LOG, threads, environment)
        self.jobs[stage.name] = process, time.monotonic(), taken
        self._print(f'{stage.name}: started')
        return True

    def _collect(self) -> None:
        """Remove the stages that have ended, whether they finished or failed."""
        for name, (process, begin, gpus) in list(self.jobs.items()):
            if (code := process.poll()) is None:
                continue
            del self.jobs[name]
            self.slots += gpus
            stage, seconds = self.plan.stage(name), time.monotonic() - begin
            if stage.command and not code:
                write_json(self.work_dir / name / DONE, dict(command=stage.command, seconds=round(seconds, 1)))
            self._end(stage, begin, f'exit code {code}' if code else '', self.work_dir / name / LOG)

    def _end(self, stage: Stage, begin: float, how: str, log: Path) -> None:
        """Record that a stage has ended; ``how`` says how it failed, or is empty."""
        name, end = stage.name, time.monotonic()
        product, took = Path(stage.creates or self.work_dir / name / DONE), _minutes(end - begin)
        while not how and not is_finished(stage, self.work_dir) and time.monotonic() < end + PATIENCE:
            time.sleep(0.5)
            os.listdir(product.parent)  # makes NFS look for the file again
        if not how and is_finished(stage, self.work_dir):
            self.done += 1
            left = _minutes((end - self.begin) / self.done * (self.todo - self.done))
            self._print(f'{name}: finished in {took}, {self.done} of {self.todo}, about {left} left')
        else:
            how = how or f'exit code 0 and no {product} after {PATIENCE} s'
            lines = '\n  '.join(_last_lines(log))
            self.failed[name] = f'stage {name} failed ({how}); its last lines:\n  {lines}\nlog: {log}'
            self._print(f'{name}: failed after {took} ({how})')

    def _print(self, text: str) -> None:
        self.printed = time.monotonic()
        print(f'{_minutes(self.printed - self.begin):>6}  {text}', flush=True)

    def _stop(self) -> None:
        for process, _, _ in self.jobs.values():
            process.terminate()
        for process, _, _ in self.jobs.values():
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _share(self, name: str) -> float:
        progress = read_json(self.work_dir / name / PROGRESS) or dict(done=0, total=1)
        return 0.95 * progress['done'] / progress['total']  # 5 % for the tests


@contextmanager
def deferred_interrupts() -> Iterator[list[int]]:
    """Yield a list that collects SIGINT, because Python ignores a KeyboardInterrupt that is raised in a finaliser."""
    interrupts = []
    before = signal.signal(signal.SIGINT, lambda number, frame: interrupts.append(number))
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, before)


def is_finished(stage: Stage, work_dir: Path) -> bool:
    """Return whether a stage of a study in ``work_dir`` is finished, including its tests and the path it creates."""
    done = read_json(work_dir / stage.name / DONE)
    written = stage.creates is None or Path(stage.creates).exists()
    tested = done is not None and (done.get('tta') or not stage.tta)
    return written and tested and set(stage.evaluations) <= set(done.get('evaluations', ()))


def _lock(work_dir: Path) -> IO:
    """Return an open file that locks a work directory until it is closed."""
    work_dir.mkdir(parents=True, exist_ok=True)
    lock = open(work_dir / '.lock', 'a+')  # noqa: SIM115 - closed by StudyRunner
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        raise RuntimeError(
            f'another process runs a study in {work_dir} ({lock.read()}); wait for it or choose another work dir'
        ) from None
    lock.truncate(0)
    lock.write(f'process {os.getpid()} on {socket.gethostname()}')
    lock.flush()
    return lock


def _minutes(seconds: float) -> str:
    return '{}:{:02d}'.format(*divmod(round(seconds), 60))


def _last_lines(log: Path) -> list[str]:
    """Return the last lines of a log before torchrun's report of how it ended the ranks."""
    lines = log.read_text(errors='replace').splitlines()[-60:] if log.exists() else []
    reports = [n for n, line in enumerate(lines) if n and 'torch/distributed/elastic/multiprocessing/api.py' in line]
    return lines[: reports[0] if reports else None][-12:]
