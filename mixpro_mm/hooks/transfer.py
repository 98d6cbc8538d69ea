"""``TransferCheckHook``, which stops a run whose backbone does not have the weights of its checkpoint."""

from os import PathLike
from pathlib import Path

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, find_latest_checkpoint
from torch import nn

from mixpro_mm.registry import HOOKS, register
from mixpro_mm.transfer.coverage import Coverage, compare, problem_of
from mixpro_mm.transfer.keys import some
from mixpro_mm.transfer.source import source_of
from mixpro_mm.utils.arguments import patterns, shown
from mixpro_mm.utils.checkpoint import Checkpoint, read_for_host
from mixpro_mm.utils.files import write_json
from mixpro_mm.utils.ranks import from_main
from mixpro_mm.utils.unwrap_model import in_shards, unwrap_model

__all__ = ['TransferCheckHook']


@register(HOOKS)
class TransferCheckHook(Hook):
    """Check that each tensor of a module comes from its checkpoint, and stop the run otherwise.

    The hook checks names and shapes before the initialization of the weights, and values after it, and writes the
    result to ``transfer.json`` in the work dir. It does not check a resumed run. Rank 0 checks for all ranks. The file
    is the one that is loaded last: ``load_from``, else ``model.init_cfg``, else the module's own ``init_cfg``.

    Args:
        module: Dotted name of the module in the model.
        checkpoint: Local file, if the config does not name it.
        prefix: Prefix of the module in the file; '' for none. Default: that of ``init_cfg``, or ``module``.
        allow: Pattern(s) of tensors that need not be transferred, such as ``'ln1.*'`` without a final norm.

    Raises:
        TypeError: At construction, if an argument has the wrong type.
        FileNotFoundError, ValueError: Before the run, if mmengine cannot read the file (see ``read_for_host``).
        RuntimeError: Before the run, if no checkpoint is named, ``init_cfg`` is a list, names or shapes differ, values
            are not finite, or the module is sharded; before training, if the module has other values than the file.
    """

    priority = 'VERY_HIGH'  # before hooks that copy the module

    def __init__(self, module='backbone', checkpoint: str | None = None, prefix: str | None = None, allow=()):
        kinds = dict(module=(module, str), checkpoint=(checkpoint, str | PathLike | None), prefix=(prefix, str | None))
        for name, (value, kind) in kinds.items():
            if not isinstance(value, kind):
                raise TypeError(f'{name} of TransferCheckHook has the wrong type: {shown(value)}')
        self.module, self.checkpoint, self.prefix = module, checkpoint, prefix
        self.allow = patterns('allow of TransferCheckHook', allow)
        self._checks = False  # False for a test or a resumed run
        self._file: tuple[str, str, Checkpoint] | None = None  # path, prefix and content, on rank 0

    def before_run(self, runner) -> None:
        self._file = None
        self._checks = from_main(lambda: self._read(runner))

    def before_train(self, runner) -> None:
        """Check the values, write ``transfer.json`` and log one line."""
        if not self._checks:
            return
        model, self._checks = unwrap_model(runner.model), False
        coverage, problem = from_main(lambda: self._check(runner, model))
        self._file = None
        runner.logger.info(f'TransferCheckHook: {coverage.summary()}')
        _stop(problem)

    def _read(self, runner) -> bool:
        """Read the file and check names and shapes; return False for a run without a check."""
        resumed = runner._resume and (runner._load_from or find_latest_checkpoint(runner.work_dir))
        if not isinstance(runner._train_loop, BaseLoop) or runner.iter > 0 or resumed:
            return False
        model = unwrap_model(runner.model)
        if holder := in_shards(runner.model):
            _stop(f'{holder} shards the tensors of {self.module}, which cannot be compared with a file: do not shard')
        try:
            checkpoint, prefix = source_of(model, self.module, self.checkpoint or runner._load_from)
        except ValueError as error:
            _stop(str(error))
        prefix = (prefix if self.prefix is None else self.prefix).rstrip('.')
        prefix = f'{prefix}.' if prefix else ''
        self._file = checkpoint, prefix, read_for_host(checkpoint)
        _stop(problem_of(self._compare(model), self.module, self._file[2]))
        tensors = self._file[2].tensors.items()
        broken = [name for name, tensor in tensors if name.startswith(prefix) and not tensor.isfinite().all()]
        _stop(f'{checkpoint} has values that are not finite in {some(broken)}' if broken else '')
        return True

    def _check(self, runner, model: nn.Module) -> tuple[Coverage, str]:
        coverage = self._compare(model)
        write_json(Path(runner.work_dir, 'transfer.json'), coverage.to_dict())
        return coverage, problem_of(coverage, self.module, self._file[2], coverage.altered)

    def _compare(self, model: nn.Module) -> Coverage:
        checkpoint, prefix, file = self._file
        coverage = compare(unwrap_model(model.get_submodule(self.module)), file.tensors, prefix, self.allow)
        coverage.checkpoint, coverage.sha256 = checkpoint, file.sha256
        return coverage


def _stop(problem: str) -> None:
    if problem:
        raise RuntimeError(f'TransferCheckHook: {problem}.')
