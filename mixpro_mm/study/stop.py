"""Stops a stage at a signal, so that a job of a cluster can be requeued before its time limit."""

import os
import signal

from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import IterBasedTrainLoop

__all__ = ['STOPPED', 'StopHook']

STOPPED = 75  # exit code of a stage that was stopped (EX_TEMPFAIL)


class StopHook(Hook):
    """Stops this process at SIGUSR2 with exit code 75.

    In an ``IterBasedTrainLoop`` whose checkpoint hook counts iterations, the running iteration ends and a checkpoint is
    saved first. Otherwise, and during validation and tests, the process exits at once: mmengine cannot resume inside an
    epoch, so the next run starts from the last checkpoint.

    Register it on the first rank only, which writes the checkpoints. Other ranks ignore the signal, because a
    rank that leaves earlier would block the first one in its last iteration. They end with the job.
    """

    priority = 'LOWEST'  # after the schedule, the average of weights and the regular checkpoint

    def __init__(self):
        self.saver: CheckpointHook | None = None  # set while a checkpoint can be saved
        self.paused: CheckpointHook | None = None  # the saver during validation
        self.stopping = False
        self._process = os.getpid()

    def listen(self) -> 'StopHook':
        """Handle SIGUSR2 from now on, and return this hook."""
        signal.signal(signal.SIGUSR2, self._stop)
        return self

    def ignore(self) -> None:
        """Ignore SIGUSR2."""
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)

    def before_train(self, runner) -> None:
        """Look for a checkpoint hook that can save after any iteration."""
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            savers = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook) and not hook.by_epoch]
            self.saver = savers[0] if savers else None

    def before_val(self, runner) -> None:
        """Exit at once during validation."""
        self.paused, self.saver = self.saver, None
        if self.stopping:
            self._exit()

    def after_val(self, runner) -> None:
        """Save again after validation."""
        self.saver = self.paused

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Save a checkpoint and exit if the signal has arrived."""
        if self.stopping:
            self.saver._save_checkpoint(runner)
            self._exit()

    def after_train(self, runner) -> None:
        """Exit at once during the tests."""
        self.saver = None
        if self.stopping:
            self._exit()

    def _stop(self, number, frame) -> None:
        if os.getpid() != self._process:  # a worker of a data loader, which inherits the handler
            return
        self.stopping = True
        if self.saver is None:
            self._exit()

    def _exit(self) -> None:
        """End without cleaning up, which could wait for other ranks or workers."""
        os.write(2, b'stopped by SIGUSR2; the next run resumes from the last checkpoint\n')
        os._exit(STOPPED)
