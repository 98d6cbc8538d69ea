"""Tensors out of a checkpoint file, without running any code that is in it."""

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
    """Stands in for the harmless things that mmengine and the authors pickle beside the tensors."""

    def __init__(self, *args, **kwargs): ...

    def __setstate__(self, state): ...


HARMLESS = [  # none of these is called or imported, Inert takes its place
    'argparse.Namespace',
    'builtins.getattr',
    'builtins.slice',
    'mmengine.logging.history_buffer.HistoryBuffer',
    'numpy.dtype',
    'numpy.ndarray',
    'pathlib.PosixPath',
    *(f'numpy.{core}.multiarray.{name}' for core in ('core', '_core') for name in ('_reconstruct', 'scalar')),
]
DICTS = ['yacs.config.CfgNode']  # filled like a dict, so a dict takes its place; released MixPro saves its config
WRAPPERS = ('state_dict', 'model', 'teacher')  # the last of DINO, which evaluates it and not the student


class CodeInCheckpointError(ValueError):
    """A file that can only be read by running what is in it."""


class Checkpoint(NamedTuple):
    """What a file holds."""

    tensors: dict[str, Tensor]  # on the CPU
    sha256: str  # of the file
    beside: list[str]  # what else lies beside the tensors, such as 'optimizer'
    averaged: list[str]  # what of it holds averaged weights, by its name: 'model_ema', 'state_dict_ema'
    config: str | None = None  # text of the config that mmengine notes under meta
    under: str = ''  # names under which the tensors lay, such as 'state_dict' or 'model.state_dict'; '' for the top
    safetensors: bool = False  # whether the file is one of safetensors

    @property
    def unusual(self) -> str | None:
        """The part of ``under`` that is worth a word."""
        return '.'.join(name for name in self.under.split('.') if name not in ('', 'state_dict', 'model')) or None

    @property
    def found_by_host(self) -> bool:
        """Whether mmengine looks for the tensors where they are; elsewhere it loads nothing and trains on."""
        return self.under in ('', 'state_dict') and not self.safetensors


def read_state_dict(path: str | os.PathLike, trust: bool = False) -> tuple[dict[str, Tensor], str]:
    """Tensors of a checkpoint on the CPU, and the SHA-256 of the file; see ``read_checkpoint``."""
    return read_checkpoint(path, trust)[:2]


def read_checkpoint(path: str | os.PathLike, trust: bool = False, take: str | None = None) -> Checkpoint:
    """Read a checkpoint; no code of the file is run.

    The tensors lie under ``state_dict``, ``model`` or ``teacher``, under one in the other, at the top, or under the
    only name that has tensors; where all names begin with ``module.``, it is taken away.

    Args:
        path: A local file of torch.save or safetensors.
        trust: Where a file cannot be read otherwise, let torch unpickle it, which runs whatever code is in it.
        take: Read what lies under this name instead, such as ``'model_ema'``, or names that begin with it and a dot.

    Raises:
        FileNotFoundError: If there is no such file.
        CodeInCheckpointError: A ValueError, if the file runs code and there is no ``trust``.
        ValueError: If the address is remote, or the file is damaged, of another format (which is named), without
            tensors, or without anything to ``take``.
    """
    path = os.path.expanduser(path)
    if '://' in path:
        raise ValueError(f'Checkpoint {path} is a remote address: download it and name the local file.')
    if os.path.isdir(path):
        raise ValueError(f'Checkpoint {path} is a folder: name the file in it.')
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
    others = f'; beside lie {", ".join(map(str, [*beside][:5]))}' if beside else ''
    others += f' and {len(beside) - 5} more' if len(beside) > 5 else ''
    if wanted:
        raise ValueError(f'Checkpoint {path} has nothing to take under `{take}`{others}.')
    if not tensors:
        where = f'under `{take}`' if take else 'under `state_dict`, under `model` or at its top'
        several = f'; of {", ".join(map(str, holders))}, which hold tensors, one must be named' if holders else ''
        raise ValueError(f'Checkpoint {path} holds no tensors {where}{others}{several}.')
    averages = (key for key, value in beside.items() if isinstance(value, Mapping))
    averaged = [str(key) for key in averages if re.search(r'(^|_)ema$', str(key), re.IGNORECASE)]
    config = meta.get('cfg') if isinstance(meta := beside.get('meta'), Mapping) else None
    config = config if isinstance(config, str) else None
    return Checkpoint(tensors, sha256, list(map(str, beside)), averaged, config, '.'.join(under), is_safetensors(path))


def read_for_host(path: str | os.PathLike) -> Checkpoint:
    """A checkpoint that mmengine is about to read; as ``read_checkpoint``, and a ValueError if it is of safetensors."""
    file = read_checkpoint(path)
    if file.safetensors:
        raise ValueError(
            f'Checkpoint {path} is a safetensors file, which mmengine does not read: convert it with '
            'tools/convert_checkpoint.py, or torch.save what safetensors.torch.load_file makes of it.'
        )
    return file


def load_exactly(module: nn.Module, tensors: Mapping[str, Tensor], name: str) -> None:
    """Load ``tensors`` into all of ``module``; ``name`` is what a message calls them.

    Raises:
        ValueError: if a tensor is missing, left over or of another shape.
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
    """The state dict of a pickled module, which only ``trust`` lets in; anything else as it is."""
    return value.state_dict() if isinstance(value, nn.Module) else value


def _holds_tensors(value) -> bool:
    """Whether tensors lie under names in it; those of an optimizer lie under numbers."""
    entries = value.items() if isinstance(value := _plain(value), Mapping) else ()
    return any(isinstance(key, str) and (isinstance(inner, Tensor) or _holds_tensors(inner)) for key, inner in entries)


def _check_sums(path: str) -> None:
    """Of a zip file, as torch.save writes it: torch itself does not compare them when it loads."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as file:
            damaged = file.testzip()
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise ValueError(_unreadable(path)) from error
    if damaged:
        raise ValueError(f'Checkpoint {path} is damaged: its entry {damaged} has not the checksum it was saved with.')


def _load(path: str):
    if is_safetensors(path):
        return _load_safetensors(path)
    stand_ins = [(Inert, name) for name in HARMLESS] + [(OrderedDict, name) for name in DICTS]
    with torch.serialization.safe_globals(stand_ins):
        try:
            return torch.load(path, map_location='cpu', weights_only=True)
        except Exception as error:
            if (global_ := re.search(r'GLOBAL (\S+)', str(error))) and not foreign(path):
                why = 'which tensors do not need'
                if pickles_module(path):
                    why = 'for it holds a whole pickled module and not its tensors alone; where its class is at hand, '
                    why += 'save its state_dict()'
                refused = f'to unpickle it is to run {global_[1]}, {why}'
            elif 'Unsupported operand' in str(error) and not foreign_pickle(path) and pickle_protocol(path) > 2:
                refused = f'it was saved with pickle protocol {pickle_protocol(path)}, and torch reads no other than 2 '
                refused += 'without running code; save it again without pickle_protocol'
            else:
                raise ValueError(_unreadable(path)) from error
            raise CodeInCheckpointError(f'Checkpoint {path} is refused: {refused}.') from error


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
        raise ValueError(f'Checkpoint {path} cannot be read: it needs code that is not installed ({error}).') from error
    except Exception as error:
        raise ValueError(_unreadable(path)) from error


def _unreadable(path: str) -> str:
    if what := foreign(path) or foreign_pickle(path):
        return f'Checkpoint {path} cannot be read: it {what}.'
    return f'Checkpoint {path} cannot be read: it is truncated or was not written by torch.save.'
