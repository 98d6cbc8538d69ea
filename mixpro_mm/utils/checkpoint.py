"""Reading of checkpoint files without running their code."""

import os
import re
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mixpro_mm.utils.files import sha256_of
from mixpro_mm.utils.foreign import foreign, foreign_pickle, is_safetensors, pickle_protocol, pickles_module

__all__ = ['Checkpoint', 'CodeInCheckpointError', 'load_exactly', 'read_checkpoint', 'read_for_host', 'read_state_dict']


class Inert:
    """Placeholder for harmless objects that are pickled beside the tensors."""

    def __init__(self, *args, **kwargs): ...

    def __setstate__(self, state): ...


HARMLESS = [  # replaced by Inert, never imported or called
    'argparse.Namespace',
    'builtins.getattr',
    'builtins.slice',
    'mmengine.logging.history_buffer.HistoryBuffer',
    'numpy.dtype',
    'numpy.ndarray',
    'pathlib.PosixPath',
    *(f'numpy.{core}.multiarray.{name}' for core in ('core', '_core') for name in ('_reconstruct', 'scalar')),
]
DICTS = ['yacs.config.CfgNode']  # replaced by a dict; checkpoints of the released MixPro have one
WRAPPERS = ('state_dict', 'model', 'teacher')  # 'teacher' is in DINO, which evaluates it


class CodeInCheckpointError(ValueError):
    """A file that cannot be read without running its code."""


class Checkpoint(NamedTuple):
    """Content of a checkpoint file."""

    tensors: dict[str, Tensor]  # on the CPU
    sha256: str  # of the file
    beside: list[str]  # names of other entries, such as 'optimizer'
    averaged: list[str]  # entries with averaged weights: 'model_ema', 'state_dict_ema'
    config: str | None = None  # text of the mmengine config
    under: str = ''  # path of the tensors, such as 'model.state_dict'; '' for the top level
    safetensors: bool = False

    @property
    def unusual(self) -> str | None:
        """``under`` without the common names, or None."""
        return '.'.join(name for name in self.under.split('.') if name not in ('', 'state_dict', 'model')) or None

    @property
    def found_by_host(self) -> bool:
        """Whether mmengine finds the tensors; otherwise it silently loads nothing."""
        return self.under in ('', 'state_dict') and not self.safetensors


def read_state_dict(path: str | os.PathLike, trust: bool = False) -> tuple[dict[str, Tensor], str]:
    """Return the tensors of a checkpoint on the CPU and the SHA-256 of the file; see ``read_checkpoint``."""
    return read_checkpoint(path, trust)[:2]


def read_checkpoint(path: str | os.PathLike, trust: bool = False, take: str | None = None) -> Checkpoint:
    """Read a checkpoint without running its code.

    The tensors may be under ``state_dict``, ``model`` or ``teacher``, also nested, at the top level, or under the only
    entry with tensors. A prefix ``module.`` of all names is removed.

    Args:
        path: A local file of torch.save or safetensors.
        trust: Whether torch may unpickle a file that cannot be read otherwise, which runs its code.
        take: Entry or prefix of names to read instead, such as ``'model_ema'``.

    Raises:
        FileNotFoundError: If the file does not exist.
        CodeInCheckpointError: If the file runs code and ``trust`` is False; a ValueError.
        ValueError: If the path is remote, or the file is damaged, has another format, no tensors or no ``take``.
    """
    path = os.path.expanduser(path)
    if '://' in path:
        raise ValueError(f'Checkpoint {path} is a remote address: download it and use the local file.')
    if os.path.isdir(path):
        raise ValueError(f'Checkpoint {path} is a folder: use the file in it.')
    if not os.path.isfile(path):
        raise FileNotFoundError(f'Checkpoint {path} is not an existing file.')
    sha256 = sha256_of(path)
    _check_sums(path)
    try:
        content = _load(path)
    except CodeInCheckpointError:
        if not trust:
            raise
        content = _load_trusting(path)
    wanted, beside, under, holders = take, {}, [], []
    while isinstance(content := _plain(content), Mapping):
        holders = [key for key, value in content.items() if _holds_tensors(value)]
        names = (wanted, *WRAPPERS) if wanted else WRAPPERS
        if not wanted and len(holders) == 1 and not any(isinstance(value, Tensor) for value in content.values()):
            names = (*names, *holders)
        wrapper = next((key for key in names if isinstance(_plain(content.get(key)), Mapping)), None)
        if wrapper is None:
            break
        beside |= {key: value for key, value in content.items() if key != wrapper}
        content, wanted = content[wrapper], None if wrapper == wanted else wanted
        under.append(str(wrapper))
    entries = content.items() if isinstance(content, Mapping) else ()
    tensors = {key: value for key, value in entries if isinstance(key, str) and isinstance(value, Tensor)}
    beside |= {key: value for key, value in entries if key not in tensors}
    while tensors and all(key.startswith('module.') for key in tensors):  # DistributedDataParallel
        tensors = {key.removeprefix('module.'): value for key, value in tensors.items()}
    if wanted and (inside := [key for key in tensors if key.startswith(f'{wanted}.')]):
        beside = dict.fromkeys(key.split('.')[0] for key in tensors if key not in inside) | beside
        tensors = {key.removeprefix(f'{wanted}.'): tensors[key] for key in inside}
        under, wanted = [*under, wanted], None
    others = f'; other entries: {", ".join(map(str, [*beside][:5]))}' if beside else ''
    others += f' and {len(beside) - 5} more' if len(beside) > 5 else ''
    if wanted:
        raise ValueError(f'Checkpoint {path} has no tensors under `{take}`{others}.')
    if not tensors:
        where = f'under `{take}`' if take else 'under `state_dict`, under `model` or at its top'
        several = f'; choose one of {", ".join(map(str, holders))}, which have tensors' if holders else ''
        raise ValueError(f'Checkpoint {path} has no tensors {where}{others}{several}.')
    averages = (key for key, value in beside.items() if isinstance(value, Mapping))
    averaged = [str(key) for key in averages if re.search(r'(^|_)ema$', str(key), re.IGNORECASE)]
    config = meta.get('cfg') if isinstance(meta := beside.get('meta'), Mapping) else None
    config = config if isinstance(config, str) else None
    return Checkpoint(tensors, sha256, list(map(str, beside)), averaged, config, '.'.join(under), is_safetensors(path))


def read_for_host(path: str | os.PathLike) -> Checkpoint:
    """Read a checkpoint for mmengine: like ``read_checkpoint``, but raise a ValueError for safetensors."""
    file = read_checkpoint(path)
    if file.safetensors:
        raise ValueError(
            f'Checkpoint {path} is a safetensors file, which mmengine does not read: convert it with '
            'tools/convert_checkpoint.py, or torch.save the result of safetensors.torch.load_file.'
        )
    return file


def load_exactly(module: nn.Module, tensors: Mapping[str, Tensor], name: str) -> None:
    """Load ``tensors`` into ``module``; messages call them ``name``.

    Raises:
        ValueError: If a tensor is missing, unexpected or has another shape.
    """
    try:
        missing, unexpected = module.load_state_dict(tensors, strict=False)
        found = [
            f'{len(keys)} {what} ({", ".join(keys[:3])})'
            for what, keys in (('missing', missing), ('unexpected', unexpected))
            if keys
        ]
    except RuntimeError as error:  # shapes
        found = [str(error).splitlines()[-1].strip()]
    if found:
        raise ValueError(f'{name} does not fit {type(module).__name__}: {", ".join(found)}')


def _plain(value):
    return value.state_dict() if isinstance(value, nn.Module) else value


def _holds_tensors(value) -> bool:
    """Return whether a mapping has tensors under string keys; optimizer states have integer keys."""
    entries = value.items() if isinstance(value := _plain(value), Mapping) else ()
    return any(isinstance(key, str) and (isinstance(inner, Tensor) or _holds_tensors(inner)) for key, inner in entries)


def _check_sums(path: str) -> None:
    """Check the checksums of a zip file, which torch.load does not."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as file:
            damaged = file.testzip()
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise ValueError(_unreadable(path)) from error
    if damaged:
        raise ValueError(f'Checkpoint {path} is damaged: the checksum of its entry {damaged} differs.')


def _load(path: str):
    if is_safetensors(path):
        return _load_safetensors(path)
    stand_ins = [(Inert, name) for name in HARMLESS] + [(OrderedDict, name) for name in DICTS]
    with torch.serialization.safe_globals(stand_ins):
        try:
            return torch.load(path, map_location='cpu', weights_only=True)
        except Exception as error:
            raise _refusal(path, error) from error


def _refusal(path: str, error: Exception) -> ValueError:
    """Return the error for a file that torch does not read without running its code."""
    if (found := re.search(r'GLOBAL (\S+)', str(error))) and not foreign(path):
        if pickles_module(path):
            return CodeInCheckpointError(
                f'Checkpoint {path} is refused: unpickling it runs {found[1]}, because it contains a pickled module; '
                'save its state_dict() instead.'
            )
        return CodeInCheckpointError(
            f'Checkpoint {path} is refused: unpickling it runs {found[1]}, which tensors do not need.'
        )
    if 'Unsupported operand' in str(error) and not foreign_pickle(path) and (protocol := pickle_protocol(path)) > 2:
        return CodeInCheckpointError(
            f'Checkpoint {path} is refused: it was saved with pickle protocol {protocol}, but torch reads only '
            'protocol 2 without running code; save it again without pickle_protocol.'
        )
    return ValueError(_unreadable(path))


def _load_safetensors(path: str) -> dict[str, Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        return load_file(path)
    except ImportError as error:
        raise ValueError(f'Checkpoint {path} needs safetensors to be read: pip install safetensors.') from error
    except SafetensorError as error:
        what = f'it is a truncated or altered safetensors file ({error})'
        raise ValueError(f'Checkpoint {path} cannot be read: {what}.') from error


def _load_trusting(path: str):
    try:
        return torch.load(path, map_location='cpu', weights_only=False)
    except ImportError as error:
        raise ValueError(
            f'Checkpoint {path} cannot be read: it needs a package that is not installed ({error}).'
        ) from error
    except Exception as error:
        raise ValueError(_unreadable(path)) from error


def _unreadable(path: str) -> str:
    if what := foreign(path) or foreign_pickle(path):
        return f'Checkpoint {path} cannot be read: it {what}.'
    return f'Checkpoint {path} cannot be read: it is truncated or was not written by torch.save.'
