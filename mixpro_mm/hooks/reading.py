"""What a run is about to read: no checkpoint that runs code, none cut short, and none of another config to resume.

``load_checkpoint`` of onedl-mmengine 0.10.12 tries ``weights_only=True`` first and, where that refuses, unpickles the
file with ``weights_only=False``, which runs whatever code is in it (``runner/checkpoint.py``, ``_safe_torch_load``);
mmengine 0.10.7 leaves it to torch's default. So the files are looked at before mmengine reads them.
"""

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

FREE = (  # of a run that goes on: where it runs, how long, how fast and what it tells
    'work_dir', 'resume', 'load_from', 'launcher', 'experiment_name', 'log_level', 'log_processor*', 'vis*', 'env_cfg*',
    'default_hooks*', 'val_*', 'test_*', 'tta_*', 'train_cfg.max_*', 'train_cfg.val_*', '*num_workers',
    '*persistent_workers', '*pin_memory', '*prefetch_factor', '*data_root', '*init_cfg*', 'custom_imports*',
)  # fmt: skip
GUARDS = ('CheckpointCheckHook', 'ClassCheckHook', 'NonFiniteLossHook')


@register(HOOKS)
class CheckpointCheckHook(Hook):
    """Looks at the checkpoints a run starts from before mmengine reads them; rank 0 looks, and all ranks stop.

    These are ``load_from``, the file to resume from, and every ``init_cfg=dict(type='Pretrained')`` of the model.
    Remote addresses are passed over with a warning: download the file and name it.

    FlexibleRunner reads all of them before it asks any hook. They are then looked at afterwards, still before training,
    and a warning says that code in them would have been run. Folders of DeepSpeed and sharded FSDP are passed over.

    Args:
        allow: Settings that may differ from those with which the checkpoint to resume was made, as patterns of dotted
            names such as ``'optim_wrapper.optimizer.lr'``; lengths of training, validation, tests, hooks, logs, workers
            and places may differ anyway.

    Raises:
        RuntimeError: in ``before_run``, if ``resume`` finds a checkpoint made with other settings; the sentence names
            them.
        FileNotFoundError, ValueError: in ``before_run``, if a file is missing, one that ``last_checkpoint`` names among
            them, cut short, no checkpoint, or runs code (see ``read_checkpoint``), of safetensors, or if ``load_from``
            or the file to resume has its tensors where mmengine does not look.
    """

    priority = 'VERY_HIGH'

    def __init__(self, allow=()):
        self.allow = patterns('allow of CheckpointCheckHook', allow)

    def before_run(self, runner) -> None:
        """Look, before anything is read where the Runner allows it."""
        late = isinstance(runner, FlexibleRunner)
        if late or not runner._has_loaded:
            from_main(lambda: self._look(runner, late))

    def _look(self, runner, late: bool) -> None:
        resumed = _resumed(runner)
        if resumed is None and runner._resume:
            runner.logger.warning(
                f'CheckpointCheckHook: there is nothing to resume in {runner.work_dir}, training starts from the '
                'beginning'
            )
        for path in dict.fromkeys([*filter(None, [resumed or runner._load_from]), *_pretrained(runner)]):
            if late:
                runner.logger.warning(
                    f'CheckpointCheckHook: FlexibleRunner has read {path} before any hook could look at it: code in it '
                    'would have been run'
                )
            if os.path.isdir(path):  # deepspeed and sharded FSDP
                continue
            if '://' in str(path):
                runner.logger.warning(f'CheckpointCheckHook: {path} is remote, whether it runs code was not looked at')
                continue
            file = read_for_host(path)
            if not file.found_by_host and path == (resumed or runner._load_from):
                raise ValueError(
                    f'CheckpointCheckHook: {path} has its tensors under `{file.under}`, where mmengine does not look, '
                    'so nothing would be loaded: save a file with them under `state_dict`.'
                )
            if path == resumed and file.config:
                self._check_settings(runner, path, file.config)

    def _check_settings(self, runner, path: str, text: str) -> None:
        before, now = settings_in(text), settings_in(runner.cfg.pretty_text)
        if before is None or now is None or not isinstance(runner._train_loop, BaseLoop):
            return
        for settings in (before, now):  # such hooks may come and go
            hooks = settings.get('custom_hooks') or []
            settings['custom_hooks'] = [hook for hook in hooks if str(hook.get('type')).split('.')[-1] not in GUARDS]
        free = (*FREE, *self.allow)
        found = [d for d in diff_configs(before, now) if not any(fnmatchcase(d.name, pattern) for pattern in free)]
        if found:
            raise RuntimeError(
                f'CheckpointCheckHook: {path} was made with other settings: {some_of(found)}; set them back, start in '
                f"another work dir than {Path(runner.work_dir)}, or say allow=['{found[0].name}'] to this hook."
            )


def _resumed(runner) -> str | None:
    """The file to resume from, as the runner finds it."""
    if isinstance(runner._resume, str):  # FlexibleRunner takes a path
        return runner._resume
    return (runner._load_from or find_latest_checkpoint(runner.work_dir)) if runner._resume else None


def _pretrained(runner) -> Iterator[str]:
    """Files that ``init_cfg`` of the model or a part of it names; a test reads none of them."""
    if not isinstance(runner._train_loop, BaseLoop):
        return
    model = unwrap_model(runner.model)
    for module in model.modules():
        init_cfg = getattr(module, 'init_cfg', None)
        for part in init_cfg if isinstance(init_cfg, list | tuple) else [init_cfg]:
            if isinstance(part, dict) and part.get('type') in ('Pretrained', PretrainedInit) and part.get('checkpoint'):
                yield str(part['checkpoint'])
