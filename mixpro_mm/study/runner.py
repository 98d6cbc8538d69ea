"""Runs the stages of a study as separate processes, a few at a time, and picks up where an earlier run stopped."""

import contextlib
import fcntl
import functools
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from mixpro_mm.files import read_json, write_json
from mixpro_mm.study.display import Display
from mixpro_mm.study.launch import Launch, stage_command
from mixpro_mm.study.plan import Plan, Stage
from mixpro_mm.study.processes import die_with_parent
from mixpro_mm.study.stage import DONE, OTHER_STAGE, PROGRESS, fingerprint, stage_config

__all__ = ['StageError', 'StudyRunner', 'is_finished']

LOG = 'stage.log'


class StageError(RuntimeError):
    """A stage ended with an error; the message holds its last lines and the path of its log."""


class StudyRunner:
    """Runs a plan in a work directory.

    Args:
        plan: The study.
        work_dir: Its folder; every stage has one of its own inside.
        display: Shows where the study stands.
        launch: How stages are started; each as one process if omitted.

    Raises:
        RuntimeError: if another process runs a study in that folder.
    """

    def __init__(self, plan: Plan, work_dir: Path, display: Display | None = None, launch: Launch | None = None):
        self.plan, self.work_dir, self.launch = plan, work_dir, launch or Launch()
        self.display = display or Display(plan.title)
        self.running: dict[str, tuple[subprocess.Popen, float]] = {}
        work_dir.mkdir(parents=True, exist_ok=True)
        self._lock = open(work_dir / '.lock', 'w')  # noqa: SIM115 - held as long as the runner lives
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(f'another process runs a study in {work_dir}; wait for it or name another') from None

    def run(self) -> None:
        """Run every stage that is not finished.

        Raises:
            RuntimeError: if a finished stage had another config, seed or checkpoint.
            StageError: as soon as a stage fails; the others are stopped, and next time go on from their last
                checkpoints.
        """
        self.check_finished()
        waiting = [stage for stage in self.plan.stages if not self.finished(stage)]
        self.display.start(self._state(), skipped=len(self.plan.stages) - len(waiting))
        with _noting_interrupts() as interrupted:
            try:
                while waiting or self.running:
                    if interrupted:
                        raise KeyboardInterrupt
                    for stage in list(waiting):
                        ready = all(self.finished(self._stage(name)) for name in stage.waits_for)
                        if ready and len(self.running) < self.plan.jobs:
                            waiting.remove(stage)
                            self._launch(stage)
                    time.sleep(0.5)
                    self._collect()
                    self.display.update(self._state())
            finally:
                self._stop()
                self.display.stop()

    def close(self) -> None:
        """Let another process run a study in this folder."""
        self._lock.close()

    def finished(self, stage: Stage) -> bool:
        """Whether a stage has come to its end, in this run or an earlier one."""
        return is_finished(stage, self.work_dir)

    def folder(self, stage: Stage) -> Path:
        """The work directory of a stage."""
        return self.work_dir / stage.name

    def check_finished(self) -> None:
        """Raise RuntimeError if a finished stage had another config, seed or checkpoint."""
        for stage in self.plan.stages:
            folder = self.folder(stage)
            if not stage.config or not self.finished(stage):
                continue
            parent = (read_json(self.work_dir / stage.checkpoint / DONE) or {}) if stage.checkpoint else {}
            config = stage_config(stage.config, folder, self.plan.seed, parent.get('checkpoint'))
            if read_json(folder / DONE)['fingerprint'] != fingerprint(config, parent.get('checkpoint_sha256')):
                raise RuntimeError(f'stage {stage.name} is finished, but {OTHER_STAGE.format(folder)}')

    def _launch(self, stage: Stage) -> None:
        folder = self.folder(stage)
        folder.mkdir(exist_ok=True)
        at_once = min(self.plan.jobs, len(self.plan.stages))
        ranks = self.launch.processes(stage) if stage.config else 1
        threads = str(max(1, len(os.sched_getaffinity(0)) // (at_once * ranks)))
        environment = os.environ | dict(PYTHONUNBUFFERED='1')
        signal_of_death = signal.SIGKILL
        if self.launch.launcher == 'slurm':  # the ranks are elsewhere; srun ends them when it is asked to end
            signal_of_death = signal.SIGTERM
        else:
            environment |= dict(OMP_NUM_THREADS=threads, MKL_NUM_THREADS=threads)
        with open(folder / LOG, 'ab') as log:
            process = subprocess.Popen(
                stage_command(self.plan, stage, self.work_dir, self.launch),
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=environment,
                preexec_fn=functools.partial(die_with_parent, os.getpid(), signal_of_death),
            )
        self.running[stage.name] = process, time.monotonic()
        self.display.started(stage.name)

    def _collect(self) -> None:
        for name, (process, started) in list(self.running.items()):
            code = process.poll()
            if code is None:
                continue
            del self.running[name]
            stage, seconds = self._stage(name), time.monotonic() - started
            if code == 0 and stage.command:
                write_json(self.folder(stage) / DONE, dict(seconds=round(seconds, 1)))
            if code or not self.finished(stage):
                log = self.folder(stage) / LOG
                lines = '\n  '.join(_last_lines(log))
                raise StageError(f'stage {name} failed (exit code {code}); its last lines:\n  {lines}\nlog: {log}')
            self.display.finished(name, seconds)

    def _stop(self) -> None:
        for process, _ in self.running.values():
            process.terminate()
        for process, _ in self.running.values():
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.running.clear()

    def _state(self) -> list[tuple[Stage, str, float]]:
        """Every stage with 'done', 'running' or 'waiting', and the share of it that is done."""
        state = []
        for stage in self.plan.stages:
            if self.finished(stage):
                state.append((stage, 'done', 1.0))
            else:
                progress = read_json(self.folder(stage) / PROGRESS) or dict(done=0, total=1)
                status = 'running' if stage.name in self.running else 'waiting'
                state.append((stage, status, 0.95 * progress['done'] / progress['total']))
        return state

    def _stage(self, name: str) -> Stage:
        return next(stage for stage in self.plan.stages if stage.name == name)


def is_finished(stage: Stage, work_dir: Path) -> bool:
    """Whether a stage of a study in ``work_dir`` has come to its end, all its tests and what it creates included."""
    done = read_json(work_dir / stage.name / DONE)
    written = stage.creates is None or Path(stage.creates).exists()
    return written and done is not None and (not stage.tta or done.get('tta', False))


def _last_lines(log: Path, count: int = 12) -> list[str]:
    """What a stage said last, before torchrun's own report of how it ended the ranks, which is longer and says less."""
    lines = log.read_text(errors='replace').splitlines()
    cut = len(lines)
    for index in range(len(lines) - 1, max(0, len(lines) - 60), -1):
        if 'torch/distributed/elastic/multiprocessing/api.py' in lines[index]:
            cut = index
    return lines[max(0, cut - count) : cut]


@contextlib.contextmanager
def _noting_interrupts() -> Iterator[list]:
    """Gives a list that is empty until Ctrl-C: Python's own exception is lost if it comes up inside a finaliser."""
    noted: list = []
    if threading.current_thread() is not threading.main_thread():  # only there signals can be handled
        yield noted
        return
    before = signal.signal(signal.SIGINT, lambda number, frame: noted.append(number))
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)
