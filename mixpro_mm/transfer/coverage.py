"""Comparison of the tensors of a module with those of a checkpoint."""

import copy
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from math import isqrt

import torch
from mmengine.runner.checkpoint import load_state_dict
from torch import Tensor, nn

from mixpro_mm.transfer.keys import prefixes, some
from mixpro_mm.utils.checkpoint import Checkpoint

__all__ = ['Coverage', 'compare', 'problem_of']

NOT_FOR_FEATURES = ('cls_token', 'norm.*', 'head.*')  # not in a model without class token and head


@dataclass
class Coverage:
    """Result of :func:`compare`.

    Tensors of the module have its names, entries of the file have the names in the file. A tensor of another shape is
    ``dict(name, file, module)`` with both shapes, and ``class_row_dropped`` if only the file has a class row.
    """

    module: str  # class name
    checkpoint: str = ''
    sha256: str = ''
    prefix: str = ''  # of the module in the file
    loaded: list[str] = field(default_factory=list)  # equal in module and file
    resized: list[dict] = field(default_factory=list)  # equal after a load hook changed the shape
    fresh: list[str] = field(default_factory=list)  # not in the file, and allowed to be missing
    missing: list[str] = field(default_factory=list)  # not in the file
    mismatched: list[dict] = field(default_factory=list)  # of a shape that cannot be loaded
    altered: list[str] = field(default_factory=list)  # of other values than in the file
    dropped: list[str] = field(default_factory=list)  # not for this module; outside the prefix, by first name
    unexpected: list[str] = field(default_factory=list)  # under the prefix, but not in the module

    @property
    def total(self) -> int:
        """Number of tensors that should be loaded."""
        return sum(map(len, (self.loaded, self.resized, self.missing, self.mismatched, self.altered)))

    @property
    def ratio(self) -> float:
        """Share of ``total`` that is loaded."""
        return (len(self.loaded) + len(self.resized)) / max(self.total, 1)

    @property
    def complete(self) -> bool:
        """Whether every tensor is loaded and no entry of the file is unexpected."""
        return self.ratio == 1 and not self.unexpected

    def to_dict(self) -> dict:
        """Return all fields, ``ratio`` and ``complete`` for JSON."""
        return {**asdict(self), 'ratio': self.ratio, 'complete': self.complete}

    def summary(self) -> str:
        """Return one line for the log."""
        loaded = f'{len(self.loaded) + len(self.resized)} of {self.total} tensors of {self.module} ({self.ratio:.1%})'
        file = f'{self.checkpoint} (SHA-256 {self.sha256[:12]})'
        lost = ', '.join(self.dropped + self.unexpected) or 'nothing'
        return f'{loaded} come from {file}, {len(self.resized)} of them resized; not loaded: {lost}'


def compare(module: nn.Module, state_dict: dict, prefix: str = '', allow: str | Sequence[str] = ()) -> Coverage:
    """Compare the tensors of ``module`` with those of a file.

    A copy of the module on the CPU loads the file as mmengine does, and the module must have the values of the copy.
    ``num_batches_tracked`` of batch norms may be missing, as in mmengine. Before initialization only the values are
    still open: a tensor may be ``altered`` instead of ``loaded`` or ``resized``.

    Args:
        module: The module to compare.
        state_dict: Tensors of the file; entries that start with ``prefix`` belong to the module.
        prefix: Prefix of the module in the file, such as ``'backbone.'``.
        allow: Pattern(s), such as ``'ln1.*'``, of module tensors that may be missing and of entries that may be
            unexpected.

    Raises:
        ValueError: If a load hook of the module fails.
    """
    allow = [allow] if isinstance(allow, str) else list(allow)
    given = {key[len(prefix) :]: value for key, value in state_dict.items() if key.startswith(prefix)}
    expected, unplaced = _load_copy(module, given)
    coverage = Coverage(type(module).__name__, prefix=prefix)
    held = {name: value for name, value in module.state_dict().items() if isinstance(value, Tensor)}
    for name, value in held.items():
        if name not in given and name.endswith('num_batches_tracked'):
            continue
        shapes = dict(name=name, file=list(given[name].shape), module=list(value.shape)) if name in given else None
        if name not in expected and shapes:
            coverage.mismatched.append(shapes)
        elif name not in expected:
            (coverage.fresh if _matches(name, allow) else coverage.missing).append(name)
        elif not torch.equal(value.cpu(), expected[name]):
            coverage.altered.append(name)
        elif shapes and shapes['file'] != shapes['module']:
            coverage.resized.append(shapes)
        else:
            coverage.loaded.append(name)
    for name in (name for name in given if name not in held):
        lost = name in unplaced and not _matches(name, (*NOT_FOR_FEATURES, *allow))
        (coverage.unexpected if lost else coverage.dropped).append(prefix + name)
    for shapes in coverage.resized if 'cls_token' in given and 'cls_token' not in held else ():
        patches = shapes['file'][1] - 1 if shapes['name'].startswith('pos_embed') else 0
        if 0 < patches == isqrt(patches) ** 2:  # a position embedding (1, 1 + n*n, C)
            shapes['class_row_dropped'] = True
            coverage.dropped.append(f'{prefix}{shapes["name"]} (class row)')
    outside = {re.sub(r'\..*', '.*', key) for key in state_dict if not key.startswith(prefix)}
    coverage.dropped = [*sorted(coverage.dropped), *sorted(outside)]
    return coverage


def problem_of(coverage: Coverage, module: str, file: Checkpoint, altered: Sequence[str] = ()) -> str:
    """Return as a clause why a module does not have the tensors of a file, or ''.

    Args:
        coverage: Result of :func:`compare`, with ``checkpoint``.
        module: Name of the module in its model.
        file: Content of the checkpoint.
        altered: Tensors whose values are compared too; none before the initialization.
    """
    path, what, total = coverage.checkpoint, f'{module} ({coverage.module})', coverage.total
    missing, unexpected = coverage.missing, coverage.unexpected
    if missing and len(missing) == total:
        (place, count), *_ = prefixes(file.tensors.keys(), missing).most_common(1) or [('', 0)]
        if 2 * count >= total or not unexpected:
            where = f"{what} under the prefix '{place}'" if 2 * count >= total else f'no {what}'
            tops = ', '.join(sorted({key.partition('.')[0] for key in file.tensors}))
            return f"{path} has {where}, not under '{coverage.prefix}'; its top-level names: {tops}"
    if coverage.mismatched:
        first = coverage.mismatched[0]
        return (
            f'{path} has another architecture than {what}: {len(coverage.mismatched)} of {total} shapes differ, '
            f'{first["name"]} is {first["file"]} in the file and {first["module"]} in the module'
        )
    found = [f'lacks {len(missing)} of {total} tensors of {what}: {some(missing)}'] if missing else []
    if unexpected:
        found.append(f'has {len(unexpected)} tensors that {what} does not have: {some(unexpected)}')
    start = f'has other names than {what}: it ' if len(found) == 2 else ''
    if found or not altered:
        return f'{path} {start}{", and it ".join(found)}' if found else ''
    why = 'they were initialized again after loading'
    if 2 * len(altered) > total:
        where = f'the tensors are under `{file.under}`, where mmengine does not find them'
        why = f'it was not loaded: {"init_weights of this class ignores `prefix`" if file.found_by_host else where}'
    return f'{len(altered)} of {total} tensors of {what} differ from {path} ({some(altered)}); {why}'


def _load_copy(module: nn.Module, given: dict[str, Tensor]) -> tuple[dict[str, Tensor], set[str]]:
    """Load ``given`` into a copy of the module; return the tensors written and the unexpected entries."""
    reference, unplaced = copy.deepcopy(module).cpu(), set()
    reference.register_load_state_dict_post_hook(lambda _, keys: unplaced.update(keys.unexpected_keys))
    tensors = {name: value for name, value in reference.state_dict(keep_vars=True).items() if isinstance(value, Tensor)}
    versions = {name: value._version for name, value in tensors.items()}
    try:
        load_state_dict(reference, given, strict=False, logger='silent')
    except Exception as error:
        raise ValueError(f'{type(module).__name__} cannot load the tensors of the file: {error}') from error
    return {name: value.detach() for name, value in tensors.items() if value._version > versions[name]}, unplaced


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
