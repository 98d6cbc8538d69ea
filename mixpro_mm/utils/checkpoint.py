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

__all__ = ['Checkpoint', 'CodeInCheckpointError', 'load_exactly', 'read_checkpoint', 'read_for_host']


class Inert:
    """Placeholder for harmless objects that are pickled beside the tensors."""

    def __init__(self, *args, **kwargs): ...

    __setstate__ = __init__


STAND_INS = [(OrderedDict, 'yacs.config.CfgNode')]  # class -> object beside the tensors that it replaces
STAND_INS += [(Inert, name) for name in ('argparse.Namespace', 'builtins.getattr', 'builtins.slice')]
PATHS = ('pathlib.PosixPath', 'pathlib._local.PosixPath')  # the second in Python 3.13
STAND_INS += [(Inert, name) for name in ('mmengine.logging.history_buffer.HistoryBuffer', *PATHS)]
NUMPY = [f'{core}.multiarray.{name}' for core in ('core', '_core') for name in ('_reconstruct', 'scalar')]
STAND_INS += [(Inert, f'numpy.{name}') for name in ('dtype', 'ndarray', *NUMPY)]
WRAPPERS = ('state_dict', 'model', 'teacher')  # 'teacher' is in DINO, which evaluates it
BEGINNINGS = {  # pattern of the first bytes of a file that is no checkpoint -> what it is, and advice
    rb'\Z': 'is empty: download or copy it again',
    rb'version https://git-lfs': 'is a git-lfs pointer: get the file with git lfs pull',
    rb'(?i)\s*<(!doctype html|html|\?xml|!--)': 'is a web page: download the file itself',
    rb'\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!': 'is compressed: unpack it and use the file inside',
}
EMA = re.compile(r'(^|_)ema$', re.IGNORECASE)


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
    dataset: Mapping = {}  # `dataset_meta` of mmengine: classes, palette

    @property
    def found_by_host(self) -> bool:
        """Whether mmengine finds the tensors; otherwise it silently loads nothing."""
        return self.under in ('', 'state_dict') and not self.safetensors


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
    if not os.path.isfile(path):
        raise FileNotFoundError(f'Checkpoint {path} is not an existing file.')
    sha256 = sha256_of(path)
    content, wanted, under, beside, holders = _load(path, trust), take, [], {}, []
    while isinstance(content := _plain(content), Mapping):
        holders = [key for key, value in content.items() if _holds_tensors(value)]
        only = holders if len(holders) == 1 and not any(isinstance(value, Tensor) for value in content.values()) else ()
        names = (wanted, *WRAPPERS) if wanted else (*WRAPPERS, *only)
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
    if wanted or not tensors:
        where = f'under `{take}`' if take else 'under `state_dict`, under `model` or at its top'
        others = f'; other entries: {", ".join(map(str, beside))}' if beside else ''
        several = f'; choose one of {", ".join(map(str, holders))}, which have tensors' if holders else ''
        raise ValueError(f'Checkpoint {path} has no tensors {where}{others}{several}.')
    averaged = [str(key) for key, value in beside.items() if isinstance(value, Mapping) and EMA.search(str(key))]
    meta = beside.get('meta')
    meta = meta if isinstance(meta, Mapping) else {}
    config = meta['cfg'] if isinstance(meta.get('cfg'), str) else None
    dataset, kind = meta.get('dataset_meta') or {}, _is_safetensors(path)
    return Checkpoint(tensors, sha256, list(map(str, beside)), averaged, config, '.'.join(under), kind, dataset)


def read_for_host(path: str | os.PathLike) -> Checkpoint:
    """Read a checkpoint for mmengine: like ``read_checkpoint``, but raise a ValueError for safetensors."""
    if (file := read_checkpoint(path)).safetensors:
        what = 'is a safetensors file, which mmengine does not read: convert it with tools/convert_checkpoint.py'
        raise ValueError(f'Checkpoint {path} {what}.')
    return file


def load_exactly(module: nn.Module, tensors: Mapping[str, Tensor], name: str) -> None:
    """Load ``tensors`` into ``module``, or raise a ValueError if any is missing, unexpected or of another shape."""
    try:
        found = zip(('missing', 'unexpected'), module.load_state_dict(tensors, strict=False), strict=True)
        found = [f'{len(keys)} {what} ({", ".join(keys[:3])})' for what, keys in found if keys]
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


def _load(path: str, trust: bool):
    safetensors = _is_safetensors(path)
    with torch.serialization.safe_globals(STAND_INS):
        try:
            if zipfile.is_zipfile(path) and (damaged := zipfile.ZipFile(path).testzip()):
                raise zipfile.BadZipFile(f'the checksum of its entry {damaged} differs')  # torch.load ignores it
            if not safetensors:
                return torch.load(path, map_location='cpu', weights_only=True)
        except zipfile.BadZipFile as error:
            raise ValueError(f'Checkpoint {path} is damaged: {error}.') from error
        except Exception as error:
            refusal = _refusal(path, str(error))
            if not trust or not isinstance(refusal, CodeInCheckpointError):
                raise refusal from error
    try:
        if not safetensors:
            return torch.load(path, map_location='cpu', weights_only=False)
        from safetensors.torch import load_file

        return load_file(path)
    except Exception as error:
        raise ValueError(f'Checkpoint {path} cannot be read: {type(error).__name__}: {error}') from error


def _refusal(path: str, error: str) -> ValueError:
    """Return the error for a file that torch does not read without running its code."""
    what = _foreign(path)
    if (found := re.search(r'GLOBAL (\S+)|Unsupported operand', error)) and not what:
        why = f'unpickling it runs {found[1]}, which tensors do not need; save only the state_dict() of a model.'
        why = why if found[1] else 'torch reads only pickle protocol 2 without running code; save it with the default.'
        return CodeInCheckpointError(f'Checkpoint {path} is refused: {why}')
    return ValueError(f'Checkpoint {path} cannot be read: it {what or "is truncated or not written by torch.save"}.')


def _is_safetensors(path: str) -> bool:
    """Return whether a file starts with the header of safetensors: its length (8 bytes), then JSON."""
    with open(path, 'rb') as file:
        head = file.read(10)
    return head[8:10] in (b'{"', b'{}', b'{ ') and 2 <= int.from_bytes(head[:8], 'little') <= 100_000_000


def _foreign(path: str) -> str:
    """Return the format and advice as a clause after "it", or '' for torch.save and unknown formats."""
    with open(path, 'rb') as file:
        head = file.read(512)
    known = next((what for pattern, what in BEGINNINGS.items() if re.match(pattern, head)), '')
    if known or not zipfile.is_zipfile(path):
        text = not re.search(rb'[\x00-\x08\x0e-\x1f]', head) and head.decode('utf-8', 'replace').strip()[:40]
        return known or (f'is a text file that starts with {text!r}' if text else '')
    names = zipfile.ZipFile(path).namelist()
    inside = {name.partition('/')[2] for name in names}
    if 'constants.pkl' in inside:
        new = 'torch.save(torch.jit.load(PATH).state_dict(), NEW_PATH)'
        return f'is a TorchScript archive, which is code with tensors: if you trust it, save its tensors with {new}'
    return '' if 'data.pkl' in inside else f'is a zip archive of {", ".join(names[:3]) or "nothing"}, no checkpoint'
