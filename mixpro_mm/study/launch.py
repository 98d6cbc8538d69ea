"""Command lines of stages: one process, torchrun on the local GPUs, or srun on a Slurm cluster."""

import argparse
import json
import os
import shutil
import sys
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixpro_mm.study.entries import DONE
from mixpro_mm.study.plan import Plan, Stage
from mixpro_mm.study.processes import visible_gpus
from mixpro_mm.utils.arguments import one_of, positive_int
from mixpro_mm.utils.files import read_json

__all__ = ['LAUNCHERS', 'Launch', 'stage_command']

LAUNCHERS = ('none', 'pytorch', 'slurm')
CPUS_PER_TASK = '5'  # default of srun's option
PORTS = range(20000, 32768)  # below the ephemeral ports of Linux


@dataclass(frozen=True)
class Launch:
    """The launcher of all stages that train. Stages that are commands run as one process.

    Args:
        launcher: 'none', 'pytorch' (torchrun) or 'slurm' (srun), as in the toolkits' scripts.
        gpus: GPUs of a stage. Default: the stage's own ``gpus``.
        gpus_per_node: GPUs of a Slurm node.
        partition: Slurm partition. Default: that of the cluster.
        srun_args: More arguments for srun.

    Raises:
        ValueError: if the arguments are invalid.
    """

    launcher: str = 'none'
    gpus: int | None = None
    gpus_per_node: int = 8
    partition: str | None = None
    srun_args: Sequence[str] = ()

    def __post_init__(self):
        one_of('launcher', self.launcher, LAUNCHERS)
        positive_int('--gpus', 1 if self.gpus is None else self.gpus)
        positive_int('--gpus-per-node', self.gpus_per_node)
        if self.launcher == 'none' and (self.gpus or 1) > 1:
            raise ValueError(f'--gpus {self.gpus} needs --launcher pytorch or slurm')
        if self.launcher != 'slurm' and (self.partition or self.srun_args):
            raise ValueError('--partition and --srun-args need --launcher slurm')

    def processes(self, stage: Stage) -> int:
        """Return the number of processes of a stage, one for each GPU."""
        return 1 if self.launcher == 'none' else self.gpus or stage.gpus or 1

    def batch_size(self, stage: Stage) -> int | None:
        """Return the images per GPU that keep the total batch size, or None if these are the config's.

        Raises:
            ValueError: if the config has no batch size, or the total is not a multiple of the number of GPUs.
        """
        count, meant = self.processes(stage), stage.gpus or 1
        if meant == count:
            return None
        batch = stage.settings.get('train_dataloader', {}).get('batch_size')
        if batch is None:
            raise ValueError(f'stage {stage.name}: {stage.config} has no train_dataloader.batch_size to keep the total')
        if meant * batch % count:
            raise ValueError(
                f'stage {stage.name} takes {meant} x {batch} = {meant * batch} images a step, which cannot be divided '
                f'among {count} GPUs'
            )
        return meant * batch // count

    def check_fit(self, stage: Stage) -> None:
        """Raise ValueError if a stage that trains does not fit these options."""
        count = self.processes(stage)
        if self.launcher == 'slurm' and count > self.gpus_per_node and count % self.gpus_per_node:
            raise ValueError(f'stage {stage.name}: {count} GPUs do not fill nodes of {self.gpus_per_node}')
        self.batch_size(stage)

    def check_machine(self, stages: Iterable[Stage]) -> None:
        """Raise RuntimeError if the launcher or the GPUs that the stages need are not available."""
        if self.launcher == 'slurm' and shutil.which('srun') is None:
            raise RuntimeError('--launcher slurm needs srun, which is not on the PATH')
        available = len(visible_gpus())
        for stage in stages if self.launcher == 'pytorch' else ():
            if (count := self.processes(stage)) > available:
                raise RuntimeError(f'stage {stage.name} needs {count} GPUs, but {available} are visible')

    def command(self, stage: Stage, arguments: list[str], port_of: str = '') -> list[str]:
        """Return the command line that runs ``python ARGUMENTS`` in the processes of ``stage``.

        Under Slurm, the port is a hash of ``port_of`` and the stage's name, because stages may share a node.
        ``MASTER_ADDR`` is unset, so that mmengine uses the first node of the step. Inside an allocation, ``--exact``
        lets several steps run side by side.
        """
        count = self.processes(stage)
        if self.launcher == 'none':
            return [sys.executable, *arguments]
        if self.launcher == 'pytorch':  # --standalone: torchrun finds a free port
            run = ['-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', str(count)]
            return [sys.executable, *run, *arguments]
        on_node = min(count, self.gpus_per_node)
        port = PORTS[zlib.crc32(f'{port_of}/{stage.name}'.encode()) % len(PORTS)]
        parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)  # a repeated option overrides
        parser.add_argument('-c', '--cpus-per-task', nargs='?', default=CPUS_PER_TASK, const=CPUS_PER_TASK)
        threads = parser.parse_known_args(self.srun_args)[0].cpus_per_task
        run = ['env', '-u', 'MASTER_ADDR', f'MASTER_PORT={port}']
        run += [f'OMP_NUM_THREADS={threads}', f'MKL_NUM_THREADS={threads}', 'srun', f'--job-name={stage.name}']
        run += [f'--gres=gpu:{on_node}', f'--ntasks={count}', f'--ntasks-per-node={on_node}']
        run += [f'--cpus-per-task={CPUS_PER_TASK}', '--kill-on-bad-exit=1']
        run += ['--exact'] if 'SLURM_JOB_ID' in os.environ else []
        run += [f'--partition={self.partition}'] if self.partition else []
        return [*run, *self.srun_args, sys.executable, '-u', *arguments]


def stage_command(plan: Plan, stage: Stage, work_dir: Path, launch: Launch) -> list[str]:
    """Return the command line of a stage of a study in ``work_dir``.

    The checkpoint is that in the parent's ``done.json``, or the one with which the parent will end.
    """
    if stage.command:
        return [sys.executable, *(part.replace('{work_dir}', str(work_dir)) for part in stage.command)]
    command = ['-m', 'mixpro_mm.study.stage', stage.config, '--work-dir', str(work_dir / stage.name)]
    if stage.checkpoint:
        folder, train = work_dir / stage.checkpoint, plan.stage(stage.checkpoint).settings.train_cfg
        last = f'epoch_{train.max_epochs}.pth' if train.get('max_epochs') else f'iter_{train.max_iters}.pth'
        command += ['--checkpoint', (read_json(folder / DONE) or dict(checkpoint=str(folder / last)))['checkpoint']]
    command += ['--seed', str(plan.seed_of(stage))]
    command += ['--cfg-options', json.dumps(stage.cfg_options)] if stage.cfg_options else []
    command += ['--batch-size', str(batch)] if (batch := launch.batch_size(stage)) else []
    command += ['--tta'] if stage.tta else []
    for name, path in stage.evaluations.items():
        command += ['--evaluate', name, path]
    command += ['--launcher', launch.launcher] if launch.launcher != 'none' else []
    return launch.command(stage, command, str(work_dir))
