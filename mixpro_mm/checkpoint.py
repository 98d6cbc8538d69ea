"""Tensors out of a checkpoint file, without running any code that is in it."""

import os
import re
from collections.abc import Mapping

import torch
from torch import Tensor

from mixpro_mm.files import sha256_of

__all__ = ['read_state_dict']


class Inert:
    """Stands in for the harmless things that mmengine and the authors pickle beside the tensors."""

    def __init__(self, *args, **kwargs): ...

    def __setstate__(self, state): ...


HARMLESS = (  # none of these is called or imported, Inert takes its place
    'argparse.Namespace',
    'builtins.getattr',
    'builtins.slice',
    'mmengine.logging.history_buffer.HistoryBuffer',
    'numpy.dtype',
    'numpy.ndarray',
    'numpy._core.multiarray._reconstruct',
    'numpy._core.multiarray.scalar',
    'numpy.core.multiarray._reconstruct',
    'numpy.core.multiarray.scalar',
    'pathlib.PosixPath',
)


def read_state_dict(path: str | os.PathLike) -> tuple[dict[str, Tensor], str]:
    """Tensors of a checkpoint on the CPU, and the SHA-256 of the file; no code of the file is run.

    The tensors lie under ``state_dict``, under ``model``, or at the top.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the address is remote, or the file is truncated, no checkpoint, without tensors, or runs code.
    """
    path = os.path.expanduser(path)
    if '://' in path:
        raise ValueError(f'Checkpoint {path} is a remote address: download it and name the local file.')
    if not os.path.isfile(path):
        raise FileNotFoundError(f'Checkpoint {path} is not an existing file.')
    sha256 = sha256_of(path)
    with torch.serialization.safe_globals([(Inert, name) for name in HARMLESS]):
        try:
            content = torch.load(path, map_location='cpu', weights_only=True)
        except Exception as error:
            raise ValueError(_why_unreadable(path, error)) from error
    for key in ('state_dict', 'model'):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    entries = content.items() if isinstance(content, Mapping) else ()
    tensors = {key: value for key, value in entries if isinstance(key, str) and isinstance(value, Tensor)}
    if not tensors:
        raise ValueError(f'Checkpoint {path} holds no tensors under `state_dict`, under `model` or at its top.')
    return tensors, sha256


def _why_unreadable(path: str, error: Exception) -> str:
    if refused := re.search(r'GLOBAL (\S+)', str(error)):
        return f'Checkpoint {path} is refused: to unpickle it is to run {refused[1]}, which tensors do not need.'
    return f'Checkpoint {path} cannot be read: it is truncated or was not written by torch.save.'
