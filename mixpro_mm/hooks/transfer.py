"""``TransferCheckHook``, which stops a run whose backbone does not have the weights of its checkpoint."""

import hashlib
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import torch
from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.model import PretrainedInit
from mmengine.runner import BaseLoop, find_latest_checkpoint
from torch import nn

from mixpro_mm.registry import HOOKS, register
from mixpro_mm.transfer.coverage import Coverage, compare
from mixpro_mm.transfer.keys import prefixes, some
from mixpro_mm.utils.arguments import patterns, shown
from mixpro_mm.utils.checkpoint import Checkpoint, read_for_host
from mixpro_mm.utils.files import write_json
from mixpro_mm.utils.ranks import from_main
from mixpro_mm.utils.unwrap_model import in_shards, unwrap_model

__all__ = ['TransferCheckHook']


@register(HOOKS)
class TransferCheckHook(Hook):
    """Check that each tensor of a module comes from its checkpoint, and stop the run otherwise.

    The hook checks names and shapes before the initialization of the weights, and values after it. It writes the
    result to ``transfer.json`` in the work dir. It does not check a resumed run. Rank 0 reads the file; the other
    ranks compare their values with those of rank 0, and all ranks raise the same error.

    The file is the one that is loaded last: ``load_from``, else ``model.init_cfg``, else the module's own ``init_cfg``
    of type ``Pretrained``. Modules must load with load hooks, not in ``init_weights``.

    Args:
        module: Dotted name of the module in the model.
        checkpoint: Local file, if the config does not name it.
        prefix: Prefix of the module in the file; '' for none. Default: that of ``init_cfg`` or, for a file with a whole
            model, ``module``.
        allow: Pattern(s) of tensors that need not be transferred, such as ``'ln1.*'`` for a backbone without final
            norm.

    Raises:
        TypeError: At construction, if an argument has the wrong type.
        FileNotFoundError, ValueError: Before the run, if mmengine cannot read the file (see ``read_for_host``).
        RuntimeError: Before the run, if no checkpoint is named, ``init_cfg`` is a list, names or shapes differ, values
            in the file are not finite, or the module is sharded (FSDP, ZeRO 3); before training, if the module does
            not have the values of the file on every rank.
    """

    priority = 'VERY_HIGH'  # before hooks that copy the module

    def __init__(self, module='backbone', checkpoint: str | None = None, prefix: str | None = None, allow=()):
        if not isinstance(module, str):
            raise TypeError(f'TransferCheckHook: module must be a dotted name, got {shown(module)}')
        if not isinstance(checkpoint, str | PathLike | None):
            raise TypeError(f'TransferCheckHook: checkpoint must be a local file or None, got {shown(checkpoint)}')
        if not isinstance(prefix, str | None):
            raise TypeError(f'TransferCheckHook: prefix must be a string or None, got {shown(prefix)}')
        self.module, self.checkpoint, self.prefix = module, checkpoint, prefix
        self.allow = patterns('allow of TransferCheckHook', allow)
        self._checks = False  # False for a test or a resumed run
        self._file: tuple[str, str, Checkpoint] | None = None  # path, prefix and content, on rank 0

    def before_run(self, runner) -> None:
        """Read the file and check names and shapes."""
        self._file = None
        self._checks = from_main(lambda: self._read(runner))

    def before_train(self, runner) -> None:
        """Check the values, write ``transfer.json`` and log one line."""
        if not self._checks:
            runner.logger.info('TransferCheckHook: this run is resumed, its transfer.json is kept')
            return
        model, self._checks = unwrap_model(runner.model), False
        coverage, problem = from_main(lambda: self._check_values(runner, model))
        self._file = None
        runner.logger.info(f'TransferCheckHook: {coverage.summary()}')
        held = [*coverage.loaded, *(shapes['name'] for shapes in coverage.resized)]
        digests = all_gather_object(_digest(_find(model, self.module), held))
        if others := [str(rank) for rank, digest in enumerate(digests) if digest != digests[0]]:
            problem = problem or (
                f'{self.module} ({coverage.module}) has other values on rank {", ".join(others)} than on rank 0, '
                f'which has those of {coverage.checkpoint}: use the same file on every node'
            )
        _stop(problem)

    def _read(self, runner) -> bool:
        """Read the file and check names and shapes; return False for a run without a check."""
        if not _starts_training(runner):
            return False
        model = unwrap_model(runner.model)
        if holder := in_shards(runner.model):
            _stop(
                f'{holder} shards the tensors of {self.module}, which cannot be compared with a file: check the '
                'transfer in one process without sharding (one iteration is enough), then train without this hook'
            )
        checkpoint, prefix = self._source(runner, model)
        self._file = checkpoint, prefix, read_for_host(checkpoint)
        _stop(self._names_problem(self._compare(model)))
        mine = {name: tensor for name, tensor in self._file[2].tensors.items() if name.startswith(prefix)}
        if broken := [name for name, tensor in mine.items() if not tensor.isfinite().all()]:
            _stop(f'{checkpoint} has values that are not finite in {some(broken)}')
        return True

    def _check_values(self, runner, model: nn.Module) -> tuple[Coverage, str]:
        coverage = self._compare(model)
        write_json(Path(runner.work_dir, 'transfer.json'), coverage.to_dict())
        return coverage, self._names_problem(coverage) or self._values_problem(coverage)

    def _compare(self, model: nn.Module) -> Coverage:
        checkpoint, prefix, file = self._file
        coverage = compare(_find(model, self.module), file.tensors, prefix, self.allow)
        coverage.checkpoint, coverage.sha256 = checkpoint, file.sha256
        return coverage

    def _source(self, runner, model: nn.Module) -> tuple[str, str]:
        """Return the checkpoint that mmengine loads last, and the prefix of the module in it."""
        own, whole, inside = _pretrained(_find(model, self.module), self.module), _pretrained(model), f'{self.module}.'
        candidates = (
            (self.checkpoint, inside),
            (runner._load_from, inside),
            (whole.get('checkpoint'), _dotted(whole.get('prefix')) + inside),
            (own.get('checkpoint'), _dotted(own.get('prefix'))),
        )
        checkpoint, prefix = next((found for found in candidates if found[0]), (None, ''))
        if checkpoint is None:
            _stop(
                f'no checkpoint is named: set {self.module}.init_cfg=dict('
                "type='Pretrained', checkpoint=..., prefix='backbone.'), load_from, or this hook's checkpoint"
            )
        return str(checkpoint), prefix if self.prefix is None else _dotted(self.prefix)

    def _names_problem(self, coverage: Coverage) -> str:
        """Return the difference in names or shapes, or ''."""
        file, what, prefix = coverage.checkpoint, f'{self.module} ({coverage.module})', coverage.prefix
        missing, unexpected = coverage.missing, coverage.unexpected
        if len(missing) == coverage.total:
            keys = self._file[2].tensors.keys()
            tops = ', '.join(sorted({key.partition('.')[0] for key in keys}))
            (fits, count), *_ = prefixes(keys, missing).most_common(1) or [('', 0)]
            if 2 * count >= max(len(missing), 1):
                return f"{file} has {what} under the prefix '{fits}', not '{prefix}'; its top-level names: {tops}"
            if not unexpected:
                return f"{file} has no {what} under the prefix '{prefix}' or another; its top-level names: {tops}"
        if coverage.mismatched:
            first = coverage.mismatched[0]
            return (
                f'{file} has another architecture than {what}: {len(coverage.mismatched)} of {coverage.total} shapes '
                f'differ, {first["name"]} is {first["file"]} in the file and {first["module"]} in the module'
            )
        if missing and unexpected:
            return (
                f'{file} has other names than {what}: {len(missing)} of {coverage.total} tensors are missing '
                f'({some(missing)}), {len(unexpected)} of the file are unexpected ({some(unexpected)})'
            )
        if missing:
            return f'{file} lacks {len(missing)} of {coverage.total} tensors of {what}: {some(missing)}'
        if unexpected:
            return f'{file} has {len(unexpected)} tensors that {what} does not have: {some(unexpected)}'
        return ''

    def _values_problem(self, coverage: Coverage) -> str:
        """Return the difference in values, or ''."""
        altered, file, why = coverage.altered, self._file[2], 'they were initialized again after loading'
        if 2 * len(altered) > coverage.total:
            why = 'it was not loaded: init_weights of this class ignores `prefix`'
            if not file.found_by_host:
                why = f'it was not loaded: the tensors are under `{file.under}`, where mmengine does not find them'
        counts = f'{len(altered)} of {coverage.total} tensors of {self.module} ({coverage.module})'
        return f'{counts} differ from {coverage.checkpoint} ({some(altered)}); {why}' if altered else ''


def _stop(problem: str) -> None:
    if problem:
        raise RuntimeError(f'TransferCheckHook: {problem}.')


def _starts_training(runner) -> bool:
    """Return False for a test, a second call and a resumed run."""
    if not isinstance(runner._train_loop, BaseLoop) or runner.iter > 0:
        return False
    return not (runner._resume and (runner._load_from or find_latest_checkpoint(runner.work_dir)))


def _find(model: nn.Module, name: str) -> nn.Module:
    for part in name.split('.'):
        children = dict(model.named_children())
        if part not in children:
            _stop(f"{type(model).__name__} has no '{part}', only {', '.join(children)}")
        model = unwrap_model(children[part])
    return model


def _pretrained(owner: nn.Module, name: str = 'model') -> dict:
    """Return the ``init_cfg`` with a checkpoint, or {}."""
    init_cfg = getattr(owner, 'init_cfg', None)
    parts = init_cfg if isinstance(init_cfg, list | tuple) else [init_cfg]
    found = next((cfg for cfg in parts if cfg and cfg.get('type') in ('Pretrained', PretrainedInit)), {})
    if found and found is not init_cfg:
        _stop(
            f'{name}.init_cfg is a list, after which VisionTransformer and others initialize pos_embed again; use '
            "the dict(type='Pretrained', ...) alone"
        )
    return found


def _dotted(prefix: str | None) -> str:
    return f'{prefix}.' if prefix and not prefix.endswith('.') else prefix or ''


def _digest(module: nn.Module, names: Sequence[str]) -> str:
    digest, state_dict = hashlib.sha256(), module.state_dict()
    for name in names:
        digest.update(state_dict[name].detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
