"""How a stage is started: as one process, by torchrun on the GPUs of this machine, or by srun on a Slurm cluster."""

import functools
import importlib.util
import shlex
import shutil
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.config import Config

from mixpro_mm.files import read_json
from mixpro_mm.study.plan import Plan, Stage
from mixpro_mm.study.stage import DONE

__all__ = ['LAUNCHERS', 'Launch', 'batch_per_gpu', 'last_name', 'look_at', 'stage_command']

LAUNCHERS = ('none', 'pytorch', 'slurm')


@dataclass(frozen=True)
class Launch:
    """The launcher of every stage that trains; stages that are commands run as they are.

    Args:
        launcher: 'none', 'pytorch' (torchrun, this machine) or 'slurm' (srun), as in the toolkits' own scripts.
        gpus: GPUs of a stage; each stage's own number (``gpus`` in its entry, else 1) if omitted.
        gpus_per_node: Of a Slurm node.
        partition: Of Slurm; the cluster's default if omitted.
        srun_args: More arguments for srun, as one string.

    Raises:
        ValueError: if these do not go together.
    """

    launcher: str = 'none'
    gpus: int | None = None
    gpus_per_node: int = 8
    partition: str | None = None
    srun_args: str = ''

    def __post_init__(self):
        if self.launcher not in LAUNCHERS:
            raise ValueError(f'launcher {self.launcher!r} is unknown; known: {", ".join(LAUNCHERS)}')
        if self.gpus is not None and self.gpus < 1:
            raise ValueError(f'--gpus {self.gpus}: a stage needs at least one')
        if self.gpus_per_node < 1:
            raise ValueError(f'--gpus-per-node {self.gpus_per_node}: a node needs at least one')
        if self.launcher == 'none' and (self.gpus or 1) > 1:
            raise ValueError(
                f'--gpus {self.gpus} needs --launcher pytorch or slurm; without one a stage is one process'
            )
        if self.launcher != 'slurm' and (self.partition or self.srun_args):
            raise ValueError('--partition and --srun-args are for --launcher slurm')

    def processes(self, stage: Stage) -> int:
        """Processes of a stage, one for each GPU."""
        return 1 if self.launcher == 'none' else self.gpus or stage.gpus or 1

    def batch_size(self, stage: Stage) -> int | None:
        """Batch size per GPU where it must differ from that of the config, so that the total stays; else None.

        Raises:
            ValueError: if the total cannot be divided among the GPUs.
        """
        count = self.processes(stage)
        if stage.gpus is None or stage.gpus == count:
            return None
        return batch_per_gpu(stage.name, look_at(stage.config).train_dataloader.batch_size, stage.gpus, count)

    def check(self, stages: tuple[Stage, ...]) -> None:
        """See before anything runs whether this machine can start the stages, and every batch can be divided.

        Raises:
            RuntimeError: if the launcher or GPUs are not there.
            ValueError: as :meth:`batch_size`, and for a number of GPUs that does not fill its nodes.
        """
        if self.launcher == 'slurm' and shutil.which('srun') is None:
            raise RuntimeError('--launcher slurm needs srun, which is not on the PATH of this machine')
        if self.launcher == 'pytorch' and importlib.util.find_spec('torch.distributed.run') is None:
            raise RuntimeError(
                '--launcher pytorch needs torch.distributed.run, which this build of torch does not have'
            )
        for stage in stages:
            if not stage.config:
                continue
            count, there = self.processes(stage), torch.cuda.device_count()
            if self.launcher == 'pytorch' and count > there:
                raise RuntimeError(f'stage {stage.name} is to run on {count} GPUs, but torch sees {there} here')
            if self.launcher == 'slurm' and count > self.gpus_per_node and count % self.gpus_per_node:
                raise ValueError(f'stage {stage.name}: {count} GPUs do not fill nodes of {self.gpus_per_node}')
            self.batch_size(stage)

    def command(self, stage: Stage, arguments: list[str], port_of: str = '') -> list[str]:
        """The whole command line that runs ``python ARGUMENTS`` in the processes of ``stage``.

        Under Slurm the ranks meet at a port that follows from ``port_of`` and the name of the stage: several stages may
        share a node.
        """
        count = self.processes(stage)
        if self.launcher == 'none':
            return [sys.executable, *arguments]
        if self.launcher == 'pytorch':  # standalone: it finds a free port itself
            run = ['-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', str(count)]
            return [sys.executable, *run, *arguments]
        on_node = min(count, self.gpus_per_node)
        port = 20000 + zlib.crc32(f'{port_of}/{stage.name}'.encode()) % 20000
        srun = ['env', f'MASTER_PORT={port}', 'srun', f'--job-name={stage.name}', f'--gres=gpu:{on_node}']
        srun += [f'--ntasks={count}', f'--ntasks-per-node={on_node}', '--cpus-per-task=5', '--kill-on-bad-exit=1']
        srun += [f'--partition={self.partition}'] if self.partition else []
        return [*srun, *shlex.split(self.srun_args), sys.executable, '-u', *arguments]


@functools.cache
def look_at(path: str) -> Config:
    """A config to look at, not to change; read once, for one that inherits from a toolkit takes half a second."""
    return Config.fromfile(path)


def batch_per_gpu(name: str, batch: int, gpus: int, available: int) -> int:
    """``batch`` images on each of ``gpus`` GPUs, as many on each of ``available``.

    Raises:
        ValueError: if they cannot be divided.
    """
    total = batch * gpus
    if total % available:
        raise ValueError(
            f'stage {name} takes {gpus} x {batch} = {total} images a step, which {available} GPUs cannot share equally'
        )
    return total // available


def stage_command(plan: Plan, stage: Stage, work_dir: Path, launch: Launch) -> list[str]:
    """What a stage of a study in ``work_dir`` runs.

    The checkpoint it starts from is the one its parent stage has noted, or, before that, the one it will end with.
    """
    if stage.command:
        return [sys.executable, *(part.replace('{work_dir}', str(work_dir)) for part in stage.command)]
    command = ['-m', 'mixpro_mm.study.stage', stage.config, '--work-dir', str(work_dir / stage.name)]
    if stage.checkpoint:
        done = read_json(work_dir / stage.checkpoint / DONE)
        parent = next(other for other in plan.stages if other.name == stage.checkpoint)
        expected = work_dir / stage.checkpoint / last_name(look_at(parent.config)) if done is None else None
        command += ['--checkpoint', str(expected or done['checkpoint'])]
    command += ['--seed', str(plan.seed)]
    batch = launch.batch_size(stage)
    command += ['--batch-size', str(batch)] if batch else []
    command += ['--tta'] if stage.tta else []
    command += ['--launcher', launch.launcher] if launch.launcher != 'none' else []
    return launch.command(stage, command, str(work_dir))


def last_name(config: Config) -> str:
    """File name of the last checkpoint of a run: 'epoch_300.pth', or 'iter_80000.pth' where it counts iterations."""
    epochs = config.train_cfg.get('max_epochs')
    return f'epoch_{epochs}.pth' if epochs else f'iter_{config.train_cfg.max_iters}.pth'
