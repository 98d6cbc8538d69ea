"""Command lines of stages: one process, torchrun on the local GPUs, or a task of a Slurm job."""

import json
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mixpro_mm.study.entries import DONE
from mixpro_mm.study.plan import Plan, Stage
from mixpro_mm.study.processes import visible_gpus
from mixpro_mm.utils.arguments import one_of, positive_int
from mixpro_mm.utils.files import read_json

__all__ = ['LAUNCHERS', 'Launch', 'stage_command']

LAUNCHERS = ('none', 'pytorch', 'slurm')
PROGRAMS = ('sbatch', 'srun', 'sacct', 'scontrol')  # that submitit and mmengine start


@dataclass(frozen=True)
class Launch:
    """The launcher of all stages that train. Stages that are commands run as one process.

    Args:
        launcher: 'none', 'pytorch' (torchrun) or 'slurm' (a job for each stage).
        gpus: GPUs of a stage. Default: the stage's own ``gpus``.
        gpus_per_node: GPUs of a Slurm node.
        partition: Slurm partition. Default: that of the cluster.
        slurm: More parameters of submitit's ``SlurmExecutor``, such as ``dict(time=1440, account='abc')``.

    Raises:
        ValueError: if the arguments are invalid.
    """

    launcher: str = 'none'
    gpus: int | None = None
    gpus_per_node: int = 8
    partition: str | None = None
    slurm: Mapping[str, int | str] = field(default_factory=dict)

    def __post_init__(self):
        one_of('launcher', self.launcher, LAUNCHERS)
        positive_int('--gpus', 1 if self.gpus is None else self.gpus)
        positive_int('--gpus-per-node', self.gpus_per_node)
        if self.launcher == 'none' and (self.gpus or 1) > 1:
            raise ValueError(f'--gpus {self.gpus} needs --launcher pytorch or slurm')
        if self.launcher != 'slurm' and (self.partition or self.slurm):
            raise ValueError('--partition and --slurm need --launcher slurm')

    def processes(self, stage: Stage) -> int:
        """Return the number of processes of a stage, one for each GPU."""
        return 1 if self.launcher == 'none' else self.gpus or stage.gpus or 1

    def nodes(self, stage: Stage) -> tuple[int, int]:
        """Return the number of Slurm nodes of a stage, and of GPUs on each."""
        on_node = min(self.processes(stage), self.gpus_per_node)
        return self.processes(stage) // on_node, on_node

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
        missing = [name for name in PROGRAMS if shutil.which(name) is None]
        if self.launcher == 'slurm' and missing:
            raise RuntimeError(f'--launcher slurm needs {" and ".join(missing)}, not found on the PATH')
        available = len(visible_gpus())
        for stage in stages if self.launcher == 'pytorch' else ():
            if (count := self.processes(stage)) > available:
                raise RuntimeError(f'stage {stage.name} needs {count} GPUs, but {available} are visible')

    def command(self, stage: Stage, arguments: list[str]) -> list[str]:
        """Return the command line that runs ``python ARGUMENTS`` in the processes of ``stage``.

        For Slurm, it is that of one task.
        """
        if self.launcher != 'pytorch':
            return [sys.executable, *arguments]
        run = ['-m', 'torch.distributed.run', '--standalone']  # --standalone: torchrun finds a free port
        return [sys.executable, *run, '--nproc_per_node', str(self.processes(stage)), *arguments]


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
    return launch.command(stage, command)
