"""Which checkpoint a stage is resumed from, and which it is tested with."""

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import Config

from mixpro_mm.utils.checkpoint import read_checkpoint

__all__ = ['best_checkpoint', 'check_whole', 'last_checkpoint', 'needed_to_resume']


def last_checkpoint(work_dir: Path, needed: Sequence[str] = ()) -> str | None:
    """The last checkpoint of a training: the one that mmengine's file ``last_checkpoint`` names, or else the newest.

    Skipped are files that cannot be read to their end, such as one truncated by a kill, and ``best_*.pth``, which
    mmengine saves without what resuming needs.

    Args:
        work_dir: Of the stage.
        needed: Keys beside the weights, such as 'optimizer', without which a checkpoint is skipped.
    """
    skipped = []
    for path in _saved(work_dir):
        try:
            beside = read_checkpoint(path).beside
        except ValueError as error:
            skipped.append(str(error))
            continue
        lacking = [name for name in needed if name not in beside]
        if not lacking:
            if skipped:
                print(f'{path} is used; skipped: {"; ".join(skipped)}')
            return str(path)
        skipped.append(f'{path} has no {" and no ".join(lacking)}')
    if needed and (skipped or best_checkpoint(work_dir)):
        reasons = skipped or [f'{work_dir} has only best_*.pth, without optimizer']
        print(f'no checkpoint can be resumed, so the stage starts from the beginning: {"; ".join(reasons)}')
    return None


def _saved(work_dir: Path) -> list[Path]:
    """Checkpoints of a training, the last first."""
    found = [path for path in work_dir.glob('*.pth') if not path.name.startswith(('.', 'best_'))]  # '.': unfinished
    found.sort(key=os.path.getmtime, reverse=True)
    note = work_dir / 'last_checkpoint'
    noted = Path(note.read_text().strip()) if note.is_file() else None
    if noted is not None:  # the folder may have been moved: first the file of that name inside it
        last = next((path for path in (work_dir / noted.name, noted) if path.is_file()), None)
        found = [last, *(path for path in found if path != last)] if last else found
    return found


def best_checkpoint(work_dir: Path) -> str | None:
    """The newest ``best_*.pth``, to test where a config saves nothing else."""
    return max(map(str, work_dir.glob('best_*.pth')), key=os.path.getmtime, default=None)


def needed_to_resume(config: Config) -> list[str]:
    """Keys beside the weights without which a resumed training would silently differ."""
    return ['meta', 'message_hub', 'optimizer', *(['param_schedulers'] if config.get('param_scheduler') else [])]


def check_whole(model: torch.nn.Module, checkpoint: str) -> None:
    """Raise RuntimeError if a checkpoint has no tensor of a model without a backbone: mmengine only warns."""
    own, found = model.state_dict(), read_checkpoint(checkpoint).tensors
    missing = [name for name in own if name not in found or found[name].shape != own[name].shape]
    if len(missing) == len(own):
        raise RuntimeError(
            f'{checkpoint} has none of the {len(own)} tensors of {type(model).__name__} with their names and shapes '
            f'({", ".join(missing[:3])}, ...): the stage that wrote it must train the same model'
        )
    print(f'{len(own) - len(missing)} of {len(own)} tensors start from {checkpoint}; not: {missing}')
