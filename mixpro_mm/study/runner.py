"""Runs the stages of a study as separate processes, a few at a time, and picks up where an earlier run stopped."""

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import time
from dataclasses import replace
from pathlib import Path

from mixpro_mm.clock import clock
from mixpro_mm.files import read_json, write_json
from mixpro_mm.study.configs import fingerprint, stage_config
from mixpro_mm.study.display import Display
from mixpro_mm.study.evaluate import evaluation_mark
from mixpro_mm.study.gpus import GpuPool, visible_gpus
from mixpro_mm.study.launch import Launch, stage_command
from mixpro_mm.study.plan import Plan, Stage
from mixpro_mm.study.processes import bound_command, noting_interrupts
from mixpro_mm.study.stage import DONE, PROGRESS, other_stage

__all__ = ['StageError', 'StudyRunner', 'is_finished']

LOG = 'stage.log'
PATIENCE = 60  # seconds; a shared file system shows a new file to other nodes with a delay


class StageError(RuntimeError):
    """Stages ended with an error; the message holds the last lines of each and the path of its log."""


class StudyRunner:
    """Runs a plan in a work directory.

    Args:
        plan: The study.
        work_dir: Its folder; every stage has one of its own inside.
        display: Shows where the study stands.
        launch: How stages are started; each as one process if omitted.

    Raises:
        RuntimeError: if another process runs a study in that folder, or it cannot be locked.
    """

    def __init__(self, plan: Plan, work_dir: Path, display: Display | None = None, launch: Launch | None = None):
        self.plan, self.work_dir, self.launch = plan, work_dir, launch or Launch()
        self.display = display or Display(plan.title)
        self.running: dict[str, tuple[subprocess.Popen, float]] = {}  # and when it began
        self.ended: dict[str, tuple[float, float]] = {}  # well, but what they wrote is not seen yet: begin and end
        self.failed: dict[str, str] = {}  # what to say of each
        self.gpus: GpuPool | None = None
        self.dropped: list[str] = []  # for they wait for one of those
        try:
            work_dir.mkdir(parents=True, exist_ok=True)
            self._lock = open(work_dir / '.lock', 'a+')  # noqa: SIM115 - held as long as the runner lives
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._lock.truncate(0)
            self._lock.write(f'process {os.getpid()} on {socket.gethostname()}')
            self._lock.flush()
        except BlockingIOError:
            self._lock.seek(0)
            who = self._lock.read()
            self._lock.close()
            who = f' ({who})' if who else ''
            raise RuntimeError(
                f'another process runs a study in {work_dir}{who}; wait for it or name another work dir'
            ) from None
        except OSError as error:
            raise RuntimeError(f'{work_dir} cannot be written to and locked: {error.strerror}') from None

    def run(self) -> None:
        """Run every stage that is not finished. Where one fails, those that do not wait for it go on.

        Raises:
            RuntimeError: if a finished stage had another config, seed or checkpoint.
            StageError: in the end, if stages failed. Next time they go on from their last checkpoints.
        """
        self.check_finished()
        waiting = [stage for stage in self.plan.stages if not self.finished(stage)]
        self.failed, self.dropped = {}, []
        self.gpus = self._pool(waiting)
        self.display.start(self._state(), skipped=len(self.plan.stages) - len(waiting))
        with noting_interrupts() as interrupted:
            try:
                while waiting or self.running or self.ended:
                    if interrupted:
                        raise KeyboardInterrupt
                    waiting = [stage for stage in waiting if not self._drop(stage)]
                    for stage in list(waiting):
                        ready = all(self.finished(self._stage(name)) for name in stage.waits_for)
                        if ready and len(self.running) < self.plan.jobs and self._launch(stage):
                            waiting.remove(stage)
                    time.sleep(0.5)
                    self._collect()
                    state = self._state()
                    if any(stage.cost for stage, _, _ in state):
                        self.display.update(state)
            finally:
                self._stop()
                self.display.stop()
        if self.failed:
            raise StageError(self._failures())

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
        """Raise RuntimeError if a finished stage had another config, seed or checkpoint, or another command."""
        for stage in self.plan.stages:
            folder = self.folder(stage)
            if not self.finished(stage):
                continue
            if stage.command:
                before = read_json(folder / DONE).get('command', list(stage.command))
                if before != list(stage.command):
                    raise RuntimeError(
                        f'stage {stage.name} is finished, but by another command ({" ".join(before)[:80]}): remove '
                        f'{folder} to run it anew, or name another work dir'
                    )
                continue
            parent = {}
            if stage.checkpoint:
                parent = read_json(self.work_dir / stage.checkpoint / DONE)
                if parent is None:
                    raise RuntimeError(
                        f'stage {stage.name} is finished, but its start, stage {stage.checkpoint}, is no longer there: '
                        f'bring {self.work_dir / stage.checkpoint} back, or remove {folder} and run both again'
                    )
            seed, start = self.plan.seed_of(stage), parent.get('checkpoint')
            config = stage_config(stage.config, folder, seed, start, stage.cfg_options)
            sha256 = parent.get('checkpoint_sha256')
            other = read_json(folder / DONE).get('fingerprint') != fingerprint(config, sha256)
            if other and (sentence := other_stage(folder, config, sha256)):
                raise RuntimeError(f'stage {stage.name} is finished, but {sentence}')
            for name, path in stage.evaluations.items():
                if read_json(folder / DONE)['evaluations'][name] != evaluation_mark(path):
                    raise RuntimeError(
                        f'stage {stage.name} is finished, but its evaluation {name} was by another config: remove '
                        f'{folder / DONE} to test again, or name another work dir'
                    )

    def _pool(self, waiting: list[Stage]) -> GpuPool | None:
        """The GPUs of this machine for the stages, None if it has none or they run elsewhere."""
        names = [] if self.launch.launcher == 'slurm' else visible_gpus()
        if not names:
            return None
        at_once = min(self.plan.jobs, len(waiting))
        if self.launch.launcher == 'pytorch' or at_once <= len(names):
            return GpuPool(names)
        self.display.console.print(
            f'{at_once} stages at a time share {len(names)} GPU{"s" * (len(names) > 1)}', soft_wrap=True
        )
        return GpuPool(names, sharing=-(-at_once // len(names)))

    def _launch(self, stage: Stage) -> bool:
        """Start a stage; False if there are not enough free GPUs for it now."""
        ranks, own = self.launch.processes(stage) if stage.config else 1, {}
        if self.gpus is not None:
            taken = self.gpus.take(stage.name, ranks)
            if taken is None:
                return False
            own = dict(CUDA_VISIBLE_DEVICES=taken)
        folder = self.folder(stage)
        folder.mkdir(exist_ok=True)
        at_once = min(self.plan.jobs, len(self.plan.stages))
        if self.gpus is not None and self.launch.launcher == 'pytorch':
            at_once = max(1, min(at_once, len(self.gpus.stages) // ranks))
        threads = str(max(1, len(os.sched_getaffinity(0)) // (at_once * ranks)))
        environment = os.environ | dict(PYTHONUNBUFFERED='1', OMP_NUM_THREADS=threads, MKL_NUM_THREADS=threads) | own
        # the ranks of srun are elsewhere: it ends them when it is asked to end
        signal_of_death = signal.SIGTERM if self.launch.launcher == 'slurm' else signal.SIGKILL
        with open(folder / LOG, 'ab') as log:
            process = subprocess.Popen(
                bound_command(stage_command(self.plan, stage, self.work_dir, self.launch), signal_of_death),
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=environment,
            )
        self.running[stage.name] = process, time.monotonic()
        self.display.started(stage.name)
        return True

    def _drop(self, stage: Stage) -> bool:
        """Whether a stage waits for one that failed, or for one that was dropped; then it is dropped too."""
        drop = any(name in self.failed or name in self.dropped for name in stage.waits_for)
        self.dropped += [stage.name] if drop else []
        return drop

    def _collect(self) -> None:
        """Look which stages have ended, and how."""
        for name, (process, begin) in list(self.running.items()):
            code = process.poll()
            if code is None:
                continue
            del self.running[name]
            if self.gpus is not None:
                self.gpus.give_back(name)
            stage = self._stage(name)
            if code:
                self._fail(stage, f'exit code {code}', time.monotonic() - begin)
                continue
            if stage.command:
                write_json(
                    self.folder(stage) / DONE, dict(command=stage.command, seconds=round(time.monotonic() - begin, 1))
                )
            self.ended[name] = begin, time.monotonic()
        for name, (begin, end) in list(self.ended.items()):
            stage = self._stage(name)
            _look_anew(stage, self.folder(stage))
            if self.finished(stage):
                del self.ended[name]
                self.display.finished(name, end - begin)
            elif time.monotonic() - end > PATIENCE:
                del self.ended[name]
                product = stage.creates if stage.command else self.folder(stage) / DONE
                self._fail(stage, f'exit code 0, but {PATIENCE} s later there is no {product}', end - begin)

    def _fail(self, stage: Stage, how: str, seconds: float) -> None:
        log = self.folder(stage) / LOG
        lines = '\n  '.join(_last_lines(log))
        self.failed[stage.name] = f'stage {stage.name} failed ({how}); its last lines:\n  {lines}\nlog: {log}'
        self.display.console.print(f'{stage.name}: failed after {clock(seconds)} ({how})', soft_wrap=True)

    def _failures(self) -> str:
        parts = [f'{len(self.failed)} stages failed: {", ".join(self.failed)}'] if len(self.failed) > 1 else []
        parts += self.failed.values()
        parts += [f'not run, for they wait for what failed: {", ".join(self.dropped)}'] if self.dropped else []
        return '\n'.join(parts)

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
        self.ended.clear()

    def _state(self) -> list[tuple[Stage, str, float]]:
        """Every stage with 'done', 'running', 'waiting', 'failed' or 'not run', and the share of it that is done.

        The time left does not count those that will not run.
        """
        state = []
        for stage in self.plan.stages:
            if self.finished(stage):
                state.append((stage, 'done', 1.0))
            elif stage.name in self.failed or stage.name in self.dropped:
                status = 'failed' if stage.name in self.failed else 'not run'
                state.append((replace(stage, cost=0.0), status, 0.0))
            else:
                progress = read_json(self.folder(stage) / PROGRESS) or dict(done=0, total=1)
                status = 'running' if stage.name in self.running or stage.name in self.ended else 'waiting'
                state.append((stage, status, 0.95 * progress['done'] / progress['total']))
        return state

    def _stage(self, name: str) -> Stage:
        return next(stage for stage in self.plan.stages if stage.name == name)


def is_finished(stage: Stage, work_dir: Path) -> bool:
    """Whether a stage of a study in ``work_dir`` has come to its end, all its tests and what it creates included."""
    done = read_json(work_dir / stage.name / DONE)
    written = stage.creates is None or Path(stage.creates).exists()
    tested = done is not None and (done.get('tta') or not stage.tta)
    return written and tested and set(stage.evaluations) <= set(done.get('evaluations', ()))


def _look_anew(stage: Stage, folder: Path) -> None:
    """List where its results are to be: on a shared file system, a file that was missing is else not looked for."""
    for place in (folder, *([Path(stage.creates).parent] if stage.creates else [])):
        with contextlib.suppress(OSError):
            os.listdir(place)


def _last_lines(log: Path, count: int = 12) -> list[str]:
    """What a stage said last, before torchrun's own report of how it ended the ranks, which is longer and says less."""
    lines = log.read_text(errors='replace').splitlines()
    cut = len(lines)
    for index in range(len(lines) - 1, max(0, len(lines) - 60), -1):
        if 'torch/distributed/elastic/multiprocessing/api.py' in lines[index]:
            cut = index
    return lines[max(0, cut - count) : cut]
