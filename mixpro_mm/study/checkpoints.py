"""Selection of the checkpoint from which a stage resumes or which it tests."""

import os
from collections.abc import Sequence
from pathlib import Path

import torch

from mixpro_mm.utils.checkpoint import read_checkpoint

__all__ = ['best_checkpoint', 'check_match', 'last_checkpoint']


def last_checkpoint(work_dir: Path, needed: Sequence[str] = ()) -> str | None:
    """Return the last readable checkpoint of a training, or None.

    The checkpoint named in mmengine's file ``last_checkpoint`` comes first, then the newest. ``best_*.pth`` are
    ignored, because mmengine saves them without the optimizer.

    Args:
        work_dir: Folder of the stage.
        needed: Keys besides the weights, such as 'optimizer'. Checkpoints without them are skipped.
    """
    found = [path for path in work_dir.glob('*.pth') if not path.name.startswith(('.', 'best_'))]  # '.': unfinished
    found.sort(key=os.path.getmtime, reverse=True)
    if (note := work_dir / 'last_checkpoint').is_file():
        noted = Path(note.read_text().strip())  # work_dir may have been moved since
        found = [path for path in (work_dir / noted.name, noted) if path.is_file()][:1] + found
    for path in dict.fromkeys(found):
        try:
            present = read_checkpoint(path).beside
            missing = [name for name in needed if name not in present]
        except ValueError as error:  # for example, truncated by a kill
            print(f'skipped: {error}')
            continue
        if not missing:
            return str(path)
        print(f'skipped: {path} has no {" and no ".join(missing)}')
    if needed and any(work_dir.glob('*.pth')):
        print(f'{work_dir} has no checkpoint that can be resumed, so the stage starts from the beginning')
    return None


def best_checkpoint(work_dir: Path) -> str | None:
    """Return the newest ``best_*.pth``, or None."""
    return max(map(str, work_dir.glob('best_*.pth')), key=os.path.getmtime, default=None)


def check_match(model: torch.nn.Module, checkpoint: str) -> None:
    """Raise RuntimeError if no tensor of the model is in the checkpoint, where mmengine only warns."""
    own, found = model.state_dict(), read_checkpoint(checkpoint).tensors
    missing = [name for name in own if name not in found or found[name].shape != own[name].shape]
    if len(missing) == len(own):
        raise RuntimeError(
            f'{checkpoint} has none of the {len(own)} tensors of {type(model).__name__} with their names and shapes '
            f'({", ".join(missing[:3])}, ...); the stage that wrote it must train the same model'
        )
    print(f'{len(own) - len(missing)} of {len(own)} tensors start from {checkpoint}; not: {missing}')
