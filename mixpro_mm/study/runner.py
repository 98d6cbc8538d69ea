"""Runs the stages of a study as separate processes, several at a time, and resumes where an earlier run stopped."""

import fcntl
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import IO

from mixpro_mm.study.configs import fingerprint, stage_config
from mixpro_mm.study.entries import DONE
from mixpro_mm.study.evaluate import evaluation_mark
from mixpro_mm.study.launch import Launch, stage_command
from mixpro_mm.study.plan import Plan, Stage
from mixpro_mm.study.processes import bound_command, defer_sigint, visible_gpus
from mixpro_mm.study.stage import PROGRESS, other_stage
from mixpro_mm.utils.arguments import counted, format_duration
from mixpro_mm.utils.files import read_json, write_json

__all__ = ['StageError', 'StudyRunner', 'is_finished']

LOG = 'stage.log'
QUIET = 30  # seconds between two lines of progress
PATIENCE = 60  # seconds; a shared file system shows a new file to other nodes with a delay


class StageError(RuntimeError):
    """Stages failed; the message has the last lines of each and the path of its log."""


class StudyRunner:
    """Runs a plan in a work directory.

    Args:
        plan: The study.
        work_dir: Its folder; every stage has one of its own inside.
        launch: How stages are started; each as one process if omitted.

    Raises:
        RuntimeError: if another process runs a study in that folder, or the folder cannot be locked.
    """

    def __init__(self, plan: Plan, work_dir: Path, launch: Launch | None = None):
        self.plan, self.work_dir, self.launch = plan, work_dir, launch or Launch()
        self.jobs: dict[str, tuple[subprocess.Popen, float, list[str]]] = {}  # process, start, GPUs
        self.failed: dict[str, str] = {}  # name -> message
        self.dropped: list[str] = []  # they wait for a stage that failed
        self._lock = _locked(work_dir)

    def run(self) -> None:
        """Run every stage that is not finished. When one fails, those that do not wait for it continue.

        Raises:
            RuntimeError: if a finished stage had another config, seed or checkpoint.
            StageError: at the end, if stages failed. The next run resumes them from their last checkpoints.
        """
        self.check_finished()
        waiting = [stage for stage in self.plan.stages if not self.finished(stage)]
        self.failed, self.dropped = {}, []
        self.begin = self.said = time.monotonic()
        self.done, self.todo = 0, len(waiting)
        earlier = len(self.plan.stages) - len(waiting)
        skipped = f', {earlier} finished already' if earlier else ''
        print(f'{self.plan.title}: {counted(len(self.plan.stages), "stage")}{skipped}', flush=True)
        self.gpus = self._gpus(waiting)
        with defer_sigint() as interrupted:
            try:
                while waiting or self.jobs:
                    if interrupted:
                        raise KeyboardInterrupt
                    for stage in list(waiting):
                        if any(name in self.failed or name in self.dropped for name in stage.waits_for):
                            self.dropped.append(stage.name)
                            waiting.remove(stage)
                        elif self._is_ready(stage) and self._start(stage):
                            waiting.remove(stage)
                    time.sleep(0.5)
                    self._collect()
                    if time.monotonic() - self.said > QUIET:
                        self._say(', '.join(f'{name} {self._share(name):.0%}' for name in self.jobs))
            finally:
                self._stop()
        if self.failed:
            several = [f'{len(self.failed)} stages failed: {", ".join(self.failed)}'] if len(self.failed) > 1 else []
            dropped = [f'not run, as they wait for a failed stage: {", ".join(self.dropped)}'] if self.dropped else []
            raise StageError('\n'.join([*several, *self.failed.values(), *dropped]))

    def close(self) -> None:
        """Let another process run a study in this folder."""
        self._lock.close()

    def finished(self, stage: Stage) -> bool:
        """Whether a stage is finished, in this run or an earlier one."""
        return is_finished(stage, self.work_dir)

    def check_finished(self) -> None:
        """Raise RuntimeError if a finished stage had another config, seed, checkpoint, evaluation or command."""
        for stage in filter(self.finished, self.plan.stages):
            folder, problem = self.work_dir / stage.name, ''
            done, parent = read_json(folder / DONE), {}
            if stage.checkpoint:
                parent = read_json(self.work_dir / stage.checkpoint / DONE)
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

    def _gpus(self, waiting: list[Stage]) -> list[str] | None:
        """The GPUs of this machine, each as often as stages may share it; None if there is none or it is not used."""
        names = [] if self.launch.launcher == 'slurm' else visible_gpus()
        at_once = min(self.plan.jobs, len(waiting))
        if not names or self.launch.launcher == 'pytorch' or at_once <= len(names):
            return names or None
        self._say(f'{at_once} stages at a time share {len(names)} GPU{"s" * (len(names) > 1)}')
        return names * -(-at_once // len(names))

    def _is_ready(self, stage: Stage) -> bool:
        return len(self.jobs) < self.plan.jobs and all(map(self.finished, map(self.plan.stage, stage.waits_for)))

    def _start(self, stage: Stage) -> bool:
        """Start a stage; False if not enough GPUs are free."""
        ranks, own = self.launch.processes(stage) if stage.config else 1, {}
        at_once = min(self.plan.jobs, len(self.plan.stages))
        taken = []
        if self.gpus is not None:  # the least used ones
            names = visible_gpus()
            taken = sorted((name for name in names if name in self.gpus), key=self.gpus.count, reverse=True)[:ranks]
            if len(taken) < ranks:
                return False
            own = dict(CUDA_VISIBLE_DEVICES=','.join(taken))
            for name in taken:
                self.gpus.remove(name)
            if self.launch.launcher == 'pytorch':
                at_once = max(1, min(at_once, len(names) // ranks))
        threads = str(max(1, len(os.sched_getaffinity(0)) // (at_once * ranks)))
        environment = os.environ | dict(PYTHONUNBUFFERED='1', OMP_NUM_THREADS=threads, MKL_NUM_THREADS=threads) | own
        # srun runs the ranks on other nodes: it must be asked to end them
        signal_of_death = signal.SIGTERM if self.launch.launcher == 'slurm' else signal.SIGKILL
        command = bound_command(stage_command(self.plan, stage, self.work_dir, self.launch), signal_of_death)
        folder = self.work_dir / stage.name
        folder.mkdir(exist_ok=True)
        with open(folder / LOG, 'ab') as log:
            pipes = dict(stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
            process = subprocess.Popen(command, env=environment, **pipes)
        self.jobs[stage.name] = process, time.monotonic(), taken
        self._say(f'{stage.name}: started')
        return True

    def _collect(self) -> None:
        """Remove the stages that have ended, finished or failed."""
        for name, (process, begin, gpus) in list(self.jobs.items()):
            code, stage, folder = process.poll(), self.plan.stage(name), self.work_dir / name
            if code is None:
                continue
            del self.jobs[name]
            if self.gpus is not None:
                self.gpus += gpus
            end = time.monotonic()
            if stage.command and not code:
                write_json(folder / DONE, dict(command=stage.command, seconds=round(end - begin, 1)))
            while not code and not self.finished(stage) and time.monotonic() < end + PATIENCE:
                time.sleep(0.5)
                os.listdir(Path(stage.creates or folder / DONE).parent)  # or NFS does not look for the file again
            if not code and self.finished(stage):
                self.done += 1
                left = format_duration((end - self.begin) / self.done * (self.todo - self.done))
                text = f'finished in {format_duration(end - begin)}, {self.done} of {self.todo}, about {left} left'
            else:
                missing = f' and no {stage.creates or folder / DONE} after {PATIENCE} s'
                how = f'exit code {code}{"" if code else missing}'
                lines = '\n  '.join(_last_lines(folder / LOG))
                self.failed[name] = f'stage {name} failed ({how}); its last lines:\n  {lines}\nlog: {folder / LOG}'
                text = f'failed after {format_duration(end - begin)} ({how})'
            self._say(f'{name}: {text}')

    def _say(self, text: str) -> None:
        """Print a line with the time since the start."""
        self.said = time.monotonic()
        print(f'{format_duration(self.said - self.begin):>6}  {text}', flush=True)

    def _stop(self) -> None:
        for process, _, _ in self.jobs.values():
            process.terminate()
        for process, _, _ in self.jobs.values():
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.jobs.clear()

    def _share(self, name: str) -> float:
        """How much of a running stage is done; tests and starting count as 5 %."""
        progress = read_json(self.work_dir / name / PROGRESS) or dict(done=0, total=1)
        return 0.95 * progress['done'] / progress['total']


def is_finished(stage: Stage, work_dir: Path) -> bool:
    """Whether a stage of a study in ``work_dir`` is finished, including its tests and what it creates."""
    done = read_json(work_dir / stage.name / DONE)
    written = stage.creates is None or Path(stage.creates).exists()
    tested = done is not None and (done.get('tta') or not stage.tta)
    return written and tested and set(stage.evaluations) <= set(done.get('evaluations', ()))


def _locked(work_dir: Path) -> IO:
    """The lock file of a work directory, locked by this process until it is closed."""
    try:
        work_dir.mkdir(parents=True, exist_ok=True)
        lock = open(work_dir / '.lock', 'a+')  # noqa: SIM115 - held as long as the runner lives
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        raise RuntimeError(
            f'another process runs a study in {work_dir} ({lock.read()}); wait for it or choose another work dir'
        ) from None
    except OSError as error:
        raise RuntimeError(f'{work_dir} cannot be written to and locked: {error.strerror}') from None
    lock.truncate(0)
    lock.write(f'process {os.getpid()} on {socket.gethostname()}')
    lock.flush()
    return lock


def _last_lines(log: Path, count: int = 12) -> list[str]:
    """The last lines of a log, without torchrun's own report of how it ended the ranks."""
    lines = log.read_text(errors='replace').splitlines()
    start = max(1, len(lines) - 60)
    reports = [n for n in range(start, len(lines)) if 'torch/distributed/elastic/multiprocessing/api.py' in lines[n]]
    end = reports[0] if reports else len(lines)
    return lines[max(0, end - count) : end]
