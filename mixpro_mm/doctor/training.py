"""Checks of the types of a config and of values that would stop training when it is built or at its first batch."""

import difflib
import importlib.util
import inspect
import os
import re
from collections.abc import Iterator

import mmengine.registry
import torch
from mmengine.hooks import EMAHook
from mmengine.registry import Registry
from mmpretrain.registry import BATCH_AUGMENTS

import mixpro_mm.augments as ours
from mixpro_mm.doctor.environment import Finding, ok, one_line, problem, warning
from mixpro_mm.hooks.labeling import LabelingHook
from mixpro_mm.utils.configs import LOADERS, dicts

__all__ = ['check_batch', 'check_deterministic', 'check_labels', 'check_masks', 'check_schedule', 'check_types']
__all__ += ['check_workers']

SECTIONS = ('model', 'data_preprocessor', 'tta_model', *LOADERS, 'val_evaluator', 'test_evaluator', 'train_cfg')
SECTIONS += ('val_cfg', 'test_cfg', 'optim_wrapper', 'param_scheduler', 'default_hooks', 'custom_hooks', 'visualizer')
REGISTRIES = {key: value for key, value in vars(mmengine.registry).items() if isinstance(value, Registry)}
REGISTRIES['BATCH_AUGMENTS'] = BATCH_AUGMENTS
CALLED = ('HOOKS', 'BATCH_AUGMENTS', 'OPTIMIZERS', 'METRICS')  # registries that pass the dict as arguments
# keys below which types are not looked up in these registries
FOREIGN = ('nms', 'roi_layer', 'labeling', 'paramwise_cfg', 'clip_grad', 'metainfo', 'backend_args', 'tokenizer')
# class -> package that it imports when it is built or used
BACKENDS = ('Tensorboard', 'Wandb', 'MLflow', 'ClearML', 'Neptune', 'DVCLive', 'Aim')
PACKAGES = {f'{name}VisBackend': name.lower() for name in BACKENDS}
PACKAGES |= dict(TIMMBackbone='timm', TimmClassifier='timm', HuggingFaceClassifier='transformers')
PACKAGES |= dict.fromkeys(('Albu', 'Albumentations'), 'albumentations')


def check_types(config: dict) -> Iterator[Finding]:
    """Check for unknown types and arguments, packages that are not installed, and missing imports of mixpro_mm."""
    imports = (config.get('custom_imports') or {}).get('imports') or ()
    imports = [imports] if isinstance(imports, str) else imports
    imported = set(REGISTRIES) if any(each.startswith('mixpro_mm.') for each in imports) else set()
    for place, node, scope in (each for section in SECTIONS for each in _typed(config.get(section), section)):
        name = node['type']
        prefix, _, plain = name.rpartition('.')
        if (package := PACKAGES.get(plain)) and importlib.util.find_spec(package) is None:
            found = f"{place}.type = '{name}' needs {package}, which is not installed"
            yield problem('packages', found, f'python -m pip install {package}')
        try:
            kind, cls = next(((kind, cls) for kind in REGISTRIES if (cls := _get(kind, name, scope))), ('', None))
        except Exception as error:  # in a module that the registry imports
            yield problem('types', f'{place}.type: {name} cannot be imported: {one_line(error)}')
            continue
        if 'mixpro_mm' in (prefix, scope):
            imported.add(kind)  # the scope imports all our classes of this registry
        if cls is None:
            near = _suggestion(prefix, plain)
            fix = f"{place}.type='{near}'" if near else None
            yield problem('types', f"{place}.type = '{name}' is not in any registry", fix)
        elif getattr(cls, '__module__', '').startswith('mixpro_mm.') and kind not in imported:
            found = f"{place}.type = '{name}' is a class of mixpro_mm, which this config does not import"
            yield problem('types', found, f"{place}.type='mixpro_mm.{plain}'")
        elif kind in CALLED:
            known = inspect.signature(cls).parameters
            any_other = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
            unknown = set(node) - {*known, 'type', '_scope_', 'priority'}  # handled by mmengine
            for key in sorted(unknown) if not any_other else ():
                near = difflib.get_close_matches(key, known, 1)
                found = f'{place}.{key}: {cls.__name__} has no argument {key}; known: {", ".join(known)}'
                yield problem('arguments', found, f'{place} = dict({near[0] if near else ""}=...)')


def _typed(node, place: str, scope: str | None = None) -> Iterator[tuple[str, dict, str | None]]:
    """Yield place, dict and ``_scope_`` of each type that is a string."""
    children = node if isinstance(node, dict) else dict(enumerate(node if isinstance(node, list | tuple) else ()))
    foreign = FOREIGN
    if isinstance(node, dict) and isinstance(node.get('type'), str):
        foreign += ('transforms',) if node['type'].rpartition('.')[2].startswith('Albu') else ()
        yield place, node, node.get('_scope_', scope)
    for key in children:
        if key not in foreign:
            yield from _typed(children[key], f'{place}.{key}', children.get('_scope_', scope))


def _get(kind: str, name: str, scope: str | None = None):
    with REGISTRIES[kind].switch_scope_and_registry(scope) as registry:
        return registry.get(name)


def _class_of(kind: str, name) -> type:
    """Return the class of a ``type``, or ``object`` if it does not resolve, which :func:`check_types` reports."""
    try:
        found = _get(kind, name) if isinstance(name, str) else name
    except Exception:
        found = None
    return found if isinstance(found, type) else object


def _suggestion(prefix: str, plain: str) -> str | None:
    """Return the same name in another scope, or the nearest name in the same scope."""
    registries = [each for root in REGISTRIES.values() for each in (root, *root.children.values())]
    known = [(key, registry.scope) for registry in registries for key in registry.module_dict]
    if scopes := [scope for key, scope in known if key == plain and scope != prefix]:
        return f'{scopes[0]}.{plain}'
    near = difflib.get_close_matches(plain, [key for key, scope in known if prefix in ('', scope)], 1)
    return f'{prefix}.{near[0]}'.lstrip('.') if near else None


def _augments(config: dict) -> list[tuple[str, dict, type]]:
    """Return place, dict and class of each batch augment."""
    found = ((config.get('model') or {}).get('train_cfg') or {}).get('augments')
    nodes = [(place, node) for place, node in dicts(found, 'model.train_cfg.augments') if 'type' in node]
    return [(place, node, _class_of('BATCH_AUGMENTS', node['type'])) for place, node in nodes]


def check_schedule(config: dict) -> Iterator[Finding]:
    """Check the probabilities of the augments and the length of the warm-up."""
    training = (config.get('model') or {}).get('train_cfg') or {}
    augments, probs = training.get('augments'), training.get('probs')
    if isinstance(probs, list | tuple) and isinstance(augments, list | tuple):
        found = f'model.train_cfg has {len(augments)} augments and {len(probs)} probs, which sum to {sum(probs):g}'
        if len(probs) != len(augments) or sum(probs) > 1:
            yield problem('probs', found, 'model.train_cfg.probs = [...]')
    for place, node in dicts(config.get('param_scheduler'), 'param_scheduler'):
        end = node.get('end') or (config.get('train_cfg') or {}).get('max_epochs')
        length = end - node.get('begin', 0) if isinstance(end, int) else None
        if isinstance(node.get('warmup'), int) and length is not None and node['warmup'] >= length:
            found = f'{place}.warmup is {node["warmup"]}, not less than the {length} epochs of the schedule'
            yield problem('schedule', found, f'{place} = dict(warmup=...)')


def check_labels(config: dict) -> Iterator[Finding]:
    """Check that the hooks that a mixing method needs are in the config."""
    hooks = [hook for hook in config.get('custom_hooks') or () if isinstance(hook, dict)]
    kinds = [_class_of('HOOKS', hook.get('type')) for hook in hooks]
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
        if not issubclass(kind, ours.MixAugment) or kind is ours.AttentiveCutMix:  # which needs its network
            continue
        arguments = {key: value for key, value in node.items() if key != 'type'}
        arguments |= dict(teacher='ema', checkpoint=None, layer=None) if kind is ours.TokenMix else {}
        try:
            augment = kind(**arguments)
            if kind is ours.PuzzleMix:
                augment.draw_grid(size)
            elif kind is ours.SMMix:
                augment.draw_side(tuple(-(-side // augment.patch_size) for side in size))
            elif kind.draw_mask is not ours.MixAugment.draw_mask:  # ManifoldMixup has none
                augment.draw_mask(torch.zeros(2, 3, *size), torch.arange(2))
                if few := hasattr(augment, 'few_cells') and augment.few_cells(size):
                    yield warning('mask', f'{place} ({kind.__name__}): {few}')
        except (ValueError, TypeError) as error:
            yield problem('mask', f'{place} ({kind.__name__}): {one_line(error)}', f'{place} = dict(...)')


def check_workers(config: dict) -> Iterator[Finding]:
    """Check for options that need workers. mmpretrain's train script sets ``persistent_workers`` by default."""
    defaults = dict(persistent_workers=config.get('default_scope') == 'mmpretrain', prefetch_factor=None)
    for name in LOADERS:
        loader = defaults | (config.get(name) or dict(num_workers=1))
        for key in defaults if not loader.get('num_workers') else ():
            if value := loader[key]:
                found = f'{name} has num_workers 0 and {key} {value}, which torch does not allow'
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
    if here == meant or (scaled.get('enable') and base == meant):
        yield ok('batch', f'{text}; {"scaled to" if here != meant else "here"} {here}')
    else:
        device = f'{gpus} GPUs x {batch} = {here}' if gpus else f'the CPU with {batch}'
        fix = f'--cfg-options train_dataloader.batch_size={max(meant // max(gpus, 1), 1)}'
        yield warning('batch', f'{text}, not for {device}', '--auto-scale-lr' if base == meant else fix)


def check_deterministic(config: dict) -> Iterator[Finding]:
    """Check the workspace of cuBLAS, without which torch raises at the first matrix product."""
    deterministic = (config.get('randomness') or {}).get('deterministic') and torch.cuda.device_count()
    if deterministic and os.environ.get('CUBLAS_WORKSPACE_CONFIG') not in (':4096:8', ':16:8'):
        found = 'randomness.deterministic=True needs the environment variable CUBLAS_WORKSPACE_CONFIG'
        yield problem('deterministic', found, 'export CUBLAS_WORKSPACE_CONFIG=:4096:8')
