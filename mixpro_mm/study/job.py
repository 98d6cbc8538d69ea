"""The job of a stage in Slurm, as submitit runs it."""

import os
import signal
import subprocess
import time
import zlib
from pathlib import Path

from mixpro_mm.study.launch import Launch, stage_command
from mixpro_mm.study.plan import Plan
from mixpro_mm.study.processes import start_stage
from mixpro_mm.study.runner import LOG, is_finished
from mixpro_mm.study.stop import STOPPED
from mixpro_mm.utils.arguments import positive_int

__all__ = ['SIGNAL_DELAY', 'StageJob', 'job_parameters']

SIGNAL_DELAY = 90  # seconds from the signal to the time limit
SAVING = 80  # seconds of these for the last checkpoint
PORTS = range(20000, 32768)  # below the ephemeral ports of Linux
# set by the study, or in the way of requeueing and dependencies
OWN = ('additional_parameters', 'dependency', 'gpus_per_node', 'job_name', 'nodes', 'ntasks_per_node', 'num_gpus')
OWN += ('signal_delay_s', 'srun_args', 'teardown', 'use_srun')


class StageJob:
    """A task of a job: a child process runs the stage. At submitit's signal it is stopped, and the job is requeued.

    The command is built when the job starts, because the checkpoint of an earlier stage is known only then.
    """

    def __init__(self, plan: Plan, name: str, work_dir: Path, launch: Launch):
        self.plan, self.name, self.work_dir, self.launch = plan, name, work_dir, launch
        self.child: subprocess.Popen | None = None

    def __call__(self) -> None:
        """Run the stage, and raise RuntimeError if it fails."""
        stage = self.plan.stage(self.name)
        if is_finished(stage, self.work_dir):  # requeued while it ended
            return
        # stages may share a node; without MASTER_ADDR, mmengine uses the first node of the job
        port = PORTS[zlib.crc32(f'{self.work_dir}/{self.name}'.encode()) % len(PORTS)]
        environment = os.environ | dict(MASTER_PORT=str(port))
        environment.pop('MASTER_ADDR', None)
        signals, handler = [], signal.getsignal(signal.SIGUSR2)
        signal.signal(signal.SIGUSR2, lambda *args: (signals.append(args[0]), handler(*args)))
        command = stage_command(self.plan, stage, self.work_dir, self.launch)
        threads = job_parameters(self.launch)['cpus_per_task']
        self.child = start_stage(command, self.work_dir / self.name / LOG, threads, environment)
        # no wait(), whose lock would block that of checkpoint()
        while (code := self.child.poll()) is None:
            time.sleep(0.5)
        if code and (signals or code in (STOPPED, -signal.SIGUSR2, -signal.SIGTERM)):
            time.sleep(SIGNAL_DELAY)  # the first task requeues the job; a failure here would end that task
        if code:
            raise RuntimeError(f'exit code {code}')

    def checkpoint(self):
        """Stop the stage and return what the requeued job runs. submitit calls this in the first task."""
        from submitit.helpers import DelayedSubmission

        if self.child is not None:
            self.child.send_signal(signal.SIGUSR2)  # which Slurm may have sent, too
            try:
                self.child.wait(SAVING)
            except subprocess.TimeoutExpired:
                self.child.kill()
        self.child = None
        return DelayedSubmission(self)


def job_parameters(launch: Launch) -> dict:
    """Return the parameters of submitit's ``SlurmExecutor`` that are equal for all stages.

    Raises:
        ValueError: if the study sets a parameter itself, or ``time`` or ``cpus_per_task`` is not a number.
    """
    if own := [name for name in launch.slurm if name in OWN]:
        raise ValueError(f'--slurm {own[0]} is not possible, because the study determines it')
    found = dict(time=1440, cpus_per_task=5) | launch.slurm
    for name in ('time', 'cpus_per_task'):
        positive_int(f'--slurm {name}', found[name])
    found |= dict(setup=[found['setup']]) if 'setup' in found else {}
    return found | (dict(partition=launch.partition) if launch.partition else {})
