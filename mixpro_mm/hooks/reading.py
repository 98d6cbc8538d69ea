"""``CheckpointCheckHook``, which checks the checkpoints of a run before mmengine reads them."""

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from mmengine.hooks import Hook
from mmengine.model import PretrainedInit
from mmengine.runner import BaseLoop, FlexibleRunner, find_latest_checkpoint

from mixpro_mm.registry import HOOKS, register
from mixpro_mm.utils.arguments import patterns
from mixpro_mm.utils.checkpoint import read_for_host
from mixpro_mm.utils.diff_configs import diff_configs, settings_in, some_of
from mixpro_mm.utils.ranks import from_main
from mixpro_mm.utils.unwrap_model import unwrap_model

__all__ = ['CheckpointCheckHook']

FREE = (  # settings that a resumed run may change
    'work_dir', 'resume', 'load_from', 'launcher', 'experiment_name', 'log_level', 'log_processor*', 'vis*', 'env_cfg*',
    'default_hooks*', 'val_*', 'test_*', 'tta_*', 'train_cfg.max_*', 'train_cfg.val_*', '*num_workers',
    '*persistent_workers', '*pin_memory', '*prefetch_factor', '*data_root', '*init_cfg*', 'custom_imports*',
)  # fmt: skip
GUARDS = ('CheckpointCheckHook', 'ClassCheckHook', 'NonFiniteLossHook')


@register(HOOKS)
class CheckpointCheckHook(Hook):
    """Check the checkpoints of a run before mmengine reads them, on rank 0 for all ranks.

    mmengine falls back to ``torch.load(weights_only=False)``, which runs code in the file. The hook checks
    ``load_from``, the file to resume from, and each ``init_cfg=dict(type='Pretrained')`` of the model. It skips remote
    files with a warning, and skips folders of DeepSpeed and sharded FSDP. FlexibleRunner reads checkpoints before any
    hook runs; the hook then checks them before training and logs a warning.

    Args:
        allow: Patterns of settings that may differ from the settings of the checkpoint to resume, such as
            ``'optim_wrapper.optimizer.lr'``. The length of the training, validation, tests, default hooks, logs,
            workers and paths may always differ.

    Raises:
        RuntimeError: In ``before_run``, if the checkpoint to resume was made with other settings.
        FileNotFoundError, ValueError: In ``before_run``, if a file is missing, damaged, a safetensors file, not a
            checkpoint or runs code (see ``read_checkpoint``), or if mmengine would find no tensors in it.
    """

    priority = 'VERY_HIGH'

    def __init__(self, allow=()):
        self.allow = patterns('allow of CheckpointCheckHook', allow)

    def before_run(self, runner) -> None:
        """Check the files."""
        late = isinstance(runner, FlexibleRunner)
        if late or not runner._has_loaded:
            from_main(lambda: self._check(runner, late))

    def _check(self, runner, late: bool) -> None:
        resumed = _resumed(runner)
        if resumed is None and runner._resume:
            runner.logger.warning(
                f'CheckpointCheckHook: nothing to resume in {runner.work_dir}, training starts from the beginning'
            )
        for path in dict.fromkeys([*filter(None, [resumed or runner._load_from]), *_pretrained(runner)]):
            if late:
                runner.logger.warning(
                    f'CheckpointCheckHook: FlexibleRunner has read {path} before this check, so code in it '
                    'has already run'
                )
            if os.path.isdir(path):  # deepspeed and sharded FSDP
                continue
            if '://' in str(path):
                runner.logger.warning(f'CheckpointCheckHook: {path} is remote and was not checked for code')
                continue
            file = read_for_host(path)
            if not file.found_by_host and path == (resumed or runner._load_from):
                raise ValueError(
                    f'CheckpointCheckHook: {path} has its tensors under `{file.under}`, where mmengine does not find '
                    'them: save them under `state_dict`.'
                )
            if path == resumed and file.config:
                self._check_settings(runner, path, file.config)

    def _check_settings(self, runner, path: str, text: str) -> None:
        before, now = settings_in(text), settings_in(runner.cfg.pretty_text)
        if before is None or now is None or not isinstance(runner._train_loop, BaseLoop):
            return
        for settings in (before, now):  # these hooks may differ
            hooks = settings.get('custom_hooks') or []
            settings['custom_hooks'] = [hook for hook in hooks if str(hook.get('type')).split('.')[-1] not in GUARDS]
        free = (*FREE, *self.allow)
        found = [d for d in diff_configs(before, now) if not any(fnmatchcase(d.name, pattern) for pattern in free)]
        if found:
            raise RuntimeError(
                f'CheckpointCheckHook: {path} was made with other settings: {some_of(found)}; restore them, use '
                f"another work dir than {Path(runner.work_dir)}, or set allow=['{found[0].name}'] of this hook."
            )


def _resumed(runner) -> str | None:
    """Return the file to resume from, found like in the runner."""
    if isinstance(runner._resume, str):  # FlexibleRunner takes a path
        return runner._resume
    return (runner._load_from or find_latest_checkpoint(runner.work_dir)) if runner._resume else None


def _pretrained(runner) -> Iterator[str]:
    """Yield the files in ``init_cfg`` of the model and its modules; a test reads none."""
    if not isinstance(runner._train_loop, BaseLoop):
        return
    model = unwrap_model(runner.model)
    for module in model.modules():
        init_cfg = getattr(module, 'init_cfg', None)
        for part in init_cfg if isinstance(init_cfg, list | tuple) else [init_cfg]:
            if isinstance(part, dict) and part.get('type') in ('Pretrained', PretrainedInit) and part.get('checkpoint'):
                yield str(part['checkpoint'])
