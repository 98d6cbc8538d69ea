"""Checks of values that would stop training when it is built or at its first batch."""

import os
import re
from collections.abc import Iterator

import torch
from mmengine.hooks import EMAHook

import mixpro_mm.augments as ours
from mixpro_mm.doctor.finding import Finding, ok, one_line, problem, warning
from mixpro_mm.doctor.names import class_of
from mixpro_mm.hooks.labeling import LabelingHook
from mixpro_mm.utils.configs import LOADERS, dicts

__all__ = ['check_batch', 'check_deterministic', 'check_labels', 'check_masks', 'check_schedule', 'check_workers']


def _augments(config: dict) -> list[tuple[str, dict, type]]:
    """Return place, dict and class of each batch augment."""
    found = ((config.get('model') or {}).get('train_cfg') or {}).get('augments')
    nodes = [(place, node) for place, node in dicts(found, 'model.train_cfg.augments') if 'type' in node]
    return [(place, node, class_of('BATCH_AUGMENTS', node['type'])) for place, node in nodes]


def check_schedule(config: dict) -> Iterator[Finding]:
    """Check the probabilities of the augments and the length of the warm-up."""
    training = (config.get('model') or {}).get('train_cfg') or {}
    augments, probs = training.get('augments'), training.get('probs')
    probs = [probs] if isinstance(probs, int | float) else probs
    if isinstance(probs, list | tuple) and isinstance(augments, list | tuple):
        fix = 'model.train_cfg.probs = [...]'
        if len(probs) != len(augments):
            yield problem('probs', f'model.train_cfg has {len(augments)} augments and {len(probs)} probs', fix)
        elif sum(probs) > 1:
            yield problem('probs', f'model.train_cfg.probs sum to {sum(probs):g}, more than 1', fix)
    for place, node in dicts(config.get('param_scheduler'), 'param_scheduler'):
        end = node.get('end') or (config.get('train_cfg') or {}).get('max_epochs')
        length = end - node.get('begin', 0) if isinstance(end, int) else None
        if isinstance(node.get('warmup'), int) and length is not None and node['warmup'] >= length:
            found = f'{place}.warmup is {node["warmup"]}, not less than the {length} epochs of the schedule'
            yield problem('schedule', found, f'{place} = dict(warmup=...)')


def check_labels(config: dict) -> Iterator[Finding]:
    """Check that the hooks that a mixing method needs are in the config."""
    hooks = [hook for hook in config.get('custom_hooks') or () if isinstance(hook, dict)]
    kinds = [class_of('HOOKS', hook.get('type')) for hook in hooks]
    for _, node, kind in _augments(config):
        teacher, wanted = node.get('teacher', 'ema') if issubclass(kind, ours.TokenMix) else None, {}
        if kind is ours.MixPro:
            wanted = {LabelingHook: "dict(type='mixpro_mm.LabelingHook')"}
        elif getattr(kind, 'bind', ours.MixAugment.bind) is not ours.MixAugment.bind and teacher in (None, 'ema'):
            wanted = {EMAHook: "dict(type='EMAHook')"} if teacher else {}
            wanted[LabelingHook] = "dict(type='mixpro_mm.LabelingHook', labeling='AreaLabeling')"
        missing = [hook for hook in wanted if not any(issubclass(other, hook) for other in kinds)]
        if missing:
            names = ' and '.join(hook.__name__ for hook in missing)
            fix = f'custom_hooks = [{"..., " * bool(hooks)}{", ".join(wanted[hook] for hook in missing)}]'
            yield problem('labels', f'{node["type"]} needs {names} in custom_hooks', fix)


def check_masks(config: dict, size: tuple[int, int]) -> Iterator[Finding]:
    """Draw a mask of each mixing method for images of ``size`` (H, W) and report its errors."""
    for place, node, kind in _augments(config):
        arguments = {key: value for key, value in node.items() if key != 'type'}
        if kind is ours.TokenMix:  # without its teacher
            arguments |= dict(teacher='ema', checkpoint=None, layer=None)
        elif kind is ours.AttentiveCutMix:
            arguments |= dict(extractor=torch.nn.Sequential(torch.nn.Identity()), checkpoint=None, layer='0')
        elif not issubclass(kind, ours.MixAugment):
            continue
        try:
            augment = kind(**arguments)
            if kind is ours.PuzzleMix:
                augment.draw_grid(size)
            elif kind is ours.SMMix:
                augment.draw_side(tuple(-(-side // augment.patch_size) for side in size))
            else:
                augment.draw_mask(torch.zeros(2, 3, *size), torch.arange(2))
                if few := hasattr(augment, 'few_cells') and augment.few_cells(size):
                    yield warning('mask', f'{place} ({kind.__name__}): {few}')
        except (ValueError, TypeError) as error:
            yield problem('mask', f'{place} ({kind.__name__}): {one_line(error)}', f'{place} = dict(...)')


def check_workers(config: dict) -> Iterator[Finding]:
    """Check for options that need workers. mmpretrain's train script sets ``persistent_workers`` by default."""
    defaults = dict(persistent_workers=config.get('default_scope') == 'mmpretrain', prefetch_factor=None)
    for name in LOADERS:
        loader = config.get(name) or dict(num_workers=1)
        for key, default in defaults.items() if not loader.get('num_workers') else ():
            if value := loader.get(key, default):
                whose = '' if key in loader else ' (the default of mmpretrain)'
                found = f'{name} has num_workers 0 and {key} {value}{whose}, which torch does not allow'
                yield problem('workers', found, f'--cfg-options {name}.{key}={False if value is True else None}')


def check_batch(config: dict) -> Iterator[Finding]:
    """Check the total batch size against that of the learning rate: 8xb128 in the name, or ``auto_scale_lr``."""
    name, scaled = os.path.basename(config['filename']), config.get('auto_scale_lr') or {}
    recipe, base = re.search(r'(?:^|_)(\d+)xb(\d+)', name), scaled.get('base_batch_size')
    batch, gpus = (config.get('train_dataloader') or {}).get('batch_size'), torch.cuda.device_count()
    if not batch or not (recipe or base):
        return
    meant, here = int(recipe[1]) * int(recipe[2]) if recipe else base, max(gpus, 1) * batch
    text = f'learning rate is for {f"{recipe[1]} GPUs x {recipe[2]} = " if recipe else ""}{meant} images a step'
    device = f'{gpus} GPUs x {batch} = {here}' if gpus else f'the CPU with {batch}'
    if here == meant or (scaled.get('enable') and base == meant):
        yield ok('batch', f'{text}; {"scaled to" if here != meant else "here"} {here}')
    else:
        fix = f'--cfg-options train_dataloader.batch_size={max(meant // max(gpus, 1), 1)}'
        yield warning('batch', f'{text}, not for {device}', '--auto-scale-lr' if base == meant else fix)


def check_deterministic(config: dict) -> Iterator[Finding]:
    """Check the workspace of cuBLAS, without which torch raises at the first matrix product."""
    deterministic = (config.get('randomness') or {}).get('deterministic') and torch.cuda.device_count()
    if deterministic and os.environ.get('CUBLAS_WORKSPACE_CONFIG') not in (':4096:8', ':16:8'):
        found = 'randomness.deterministic=True needs the environment variable CUBLAS_WORKSPACE_CONFIG'
        yield problem('deterministic', found, 'export CUBLAS_WORKSPACE_CONFIG=:4096:8')
