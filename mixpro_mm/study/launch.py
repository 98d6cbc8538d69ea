"""How a stage is started: as one process, by torchrun on the GPUs of this machine, or by srun on a Slurm cluster."""

import argparse
import importlib.util
import json
import os
import shlex
import shutil
import sys
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mixpro_mm.files import read_json
from mixpro_mm.study.configs import last_name, look_at
from mixpro_mm.study.gpus import visible_gpus
from mixpro_mm.study.plan import Plan, Stage
from mixpro_mm.study.stage import DONE

__all__ = ['LAUNCHERS', 'Launch', 'batch_per_gpu', 'stage_command']

LAUNCHERS = ('none', 'pytorch', 'slurm')
GPUS_PER_NODE, CPUS_PER_TASK = 8, 5  # of Slurm, where nothing else is said
PORTS = range(20000, 32768)  # below those that Linux hands out by itself


@dataclass(frozen=True)
class Launch:
    """The launcher of every stage that trains; stages that are commands run as they are.

    Args:
        launcher: 'none', 'pytorch' (torchrun, this machine) or 'slurm' (srun), as in the toolkits' own scripts.
        gpus: GPUs of a stage; each stage's own number (``gpus`` in its entry, else 1) if omitted.
        gpus_per_node: Of a Slurm node; 8 if omitted.
        partition: Of Slurm; the cluster's default if omitted.
        srun_args: More arguments for srun, as one string.

    Raises:
        ValueError: if these do not go together.
    """

    launcher: str = 'none'
    gpus: int | None = None
    gpus_per_node: int | None = None
    partition: str | None = None
    srun_args: str = ''

    def __post_init__(self):
        if self.launcher not in LAUNCHERS:
            raise ValueError(f'launcher {self.launcher!r} is unknown; known: {", ".join(LAUNCHERS)}')
        if self.gpus is not None and self.gpus < 1:
            raise ValueError(f'--gpus {self.gpus}: a stage needs at least one')
        if self.gpus_per_node is not None and self.gpus_per_node < 1:
            raise ValueError(f'--gpus-per-node {self.gpus_per_node}: a node needs at least one')
        if self.launcher == 'none' and (self.gpus or 1) > 1:
            raise ValueError(
                f'--gpus {self.gpus} needs --launcher pytorch or slurm; without one a stage is one process'
            )
        if self.launcher != 'slurm' and (self.gpus_per_node or self.partition or self.srun_args):
            raise ValueError('--gpus-per-node, --partition and --srun-args are for --launcher slurm')
        try:
            shlex.split(self.srun_args)
        except ValueError as error:
            raise ValueError(f'--srun-args {self.srun_args} cannot be taken apart: {error}') from None

    @property
    def node(self) -> int:
        """GPUs of a Slurm node."""
        return self.gpus_per_node or GPUS_PER_NODE

    def processes(self, stage: Stage) -> int:
        """Processes of a stage, one for each GPU."""
        return 1 if self.launcher == 'none' else self.gpus or stage.gpus or 1

    def batch_size(self, stage: Stage) -> int | None:
        """Batch size per GPU where it must differ from that of the config, so that the total stays; else None.

        Raises:
            ValueError: if the total cannot be divided among the GPUs.
        """
        count, meant = self.processes(stage), stage.gpus or 1
        if meant == count:
            return None
        batch = look_at(stage.config, stage.cfg_options).get('train_dataloader', {}).get('batch_size')
        if batch is None:
            raise ValueError(f'stage {stage.name}: {stage.config} has no train_dataloader.batch_size to share out')
        return batch_per_gpu(stage.name, batch, meant, count)

    def check_fit(self, stages: Iterable[Stage]) -> None:
        """See whether these options go with the stages, on whatever machine.

        Raises:
            ValueError: as :meth:`batch_size`, and for a number of GPUs that does not fill its nodes.
        """
        for stage in stages:
            if stage.config:
                count = self.processes(stage)
                if self.launcher == 'slurm' and count > self.node and count % self.node:
                    raise ValueError(f'stage {stage.name}: {count} GPUs do not fill nodes of {self.node}')
                self.batch_size(stage)

    def check_machine(self, stages: Iterable[Stage]) -> None:
        """See before anything runs whether this machine can start the stages.

        Raises:
            RuntimeError: if the launcher or GPUs are not there.
        """
        if self.launcher == 'slurm' and shutil.which('srun') is None:
            raise RuntimeError('--launcher slurm needs srun, which is not on the PATH of this machine')
        if self.launcher != 'pytorch':
            return
        if importlib.util.find_spec('torch.distributed.run') is None:
            raise RuntimeError(
                '--launcher pytorch needs torch.distributed.run, which this build of torch does not have'
            )
        there = len(visible_gpus())
        for stage in stages:
            if stage.config and self.processes(stage) > there:
                count = self.processes(stage)
                raise RuntimeError(f'stage {stage.name} is to run on {count} GPUs, but torch sees {there} here')

    def command(self, stage: Stage, arguments: list[str], port_of: str = '') -> list[str]:
        """The whole command line that runs ``python ARGUMENTS`` in the processes of ``stage``.

        Under Slurm the ranks meet on their first node, whatever ``MASTER_ADDR`` says here, at a port that follows from
        ``port_of`` and the name of the stage: several stages may share a node. Inside an allocation each takes no more
        than it asks for, else the others would wait for it.
        """
        count = self.processes(stage)
        if self.launcher == 'none':
            return [sys.executable, *arguments]
        if self.launcher == 'pytorch':  # standalone: it finds a free port itself
            run = ['-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', str(count)]
            return [sys.executable, *run, *arguments]
        on_node, more = min(count, self.node), shlex.split(self.srun_args)
        port = PORTS[zlib.crc32(f'{port_of}/{stage.name}'.encode()) % len(PORTS)]
        threads = _cpus_per_task(more)
        run = ['env', '-u', 'MASTER_ADDR', f'MASTER_PORT={port}']
        run += [f'OMP_NUM_THREADS={threads}', f'MKL_NUM_THREADS={threads}', 'srun', f'--job-name={stage.name}']
        run += [f'--gres=gpu:{on_node}', f'--ntasks={count}', f'--ntasks-per-node={on_node}']
        run += [f'--cpus-per-task={CPUS_PER_TASK}', '--kill-on-bad-exit=1']
        run += ['--exact'] if 'SLURM_JOB_ID' in os.environ else []
        run += [f'--partition={self.partition}'] if self.partition else []
        return [*run, *more, sys.executable, '-u', *arguments]


def _cpus_per_task(srun_args: list[str]) -> str:
    """What srun will take: the last it is told."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    default = str(CPUS_PER_TASK)
    parser.add_argument('-c', '--cpus-per-task', nargs='?', default=default, const=default)
    return parser.parse_known_args(srun_args)[0].cpus_per_task


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
        parent = plan.stage(stage.checkpoint)
        last = done is None and last_name(look_at(parent.config, parent.cfg_options))
        command += ['--checkpoint', str(work_dir / stage.checkpoint / last) if last else done['checkpoint']]
    command += ['--seed', str(plan.seed_of(stage))]
    command += ['--cfg-options', json.dumps(stage.cfg_options)] if stage.cfg_options else []
    batch = launch.batch_size(stage)
    command += ['--batch-size', str(batch)] if batch else []
    command += ['--tta'] if stage.tta else []
    for name, path in stage.evaluations.items():
        command += ['--evaluate', name, path]
    command += ['--launcher', launch.launcher] if launch.launcher != 'none' else []
    return launch.command(stage, command, str(work_dir))
