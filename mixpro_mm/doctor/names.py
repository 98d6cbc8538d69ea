"""Checks of the types of a config: whether they resolve, are installed, and accept their arguments."""

import difflib
import importlib.util
import inspect
from collections.abc import Iterator

import mmengine.registry
from mmengine.registry import Registry
from mmpretrain.registry import BATCH_AUGMENTS

from mixpro_mm.doctor.finding import Finding, one_line, problem
from mixpro_mm.utils.configs import dicts

__all__ = ['PACKAGES', 'check_types', 'class_of']

SECTIONS = (
    *('model', 'data_preprocessor', 'tta_model', 'train_dataloader', 'val_dataloader', 'test_dataloader'),
    *('val_evaluator', 'test_evaluator', 'train_cfg', 'val_cfg', 'test_cfg', 'optim_wrapper', 'param_scheduler'),
    *('default_hooks', 'custom_hooks', 'visualizer', 'log_processor', 'strategy'),
)
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
    imports = {imports} if isinstance(imports, str) else {*imports}
    # 'mixpro_mm' registers nothing, 'mixpro_mm.plugin' everything
    covered = tuple(f'{each}.'.replace('.plugin.', '.') for each in imports - {'mixpro_mm'})
    imported = set()
    for place, node, scope in _typed(config):
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
        module = f'{getattr(cls, "__module__", "")}.'
        if prefix == 'mixpro_mm':
            imported.add(kind)  # the scope imports all our classes of this registry
        if cls is None:
            near = _suggestion(prefix, plain)
            fix = f"{place}.type='{near}'" if near else None
            yield problem('types', f"{place}.type = '{name}' is not in any registry", fix)
        elif module.startswith('mixpro_mm.') and not (
            'mixpro_mm' in (prefix, scope) or kind in imported or module.startswith(covered)
        ):
            found = f"{place}.type = '{name}' is a class of mixpro_mm, which this config does not import"
            yield problem('types', found, f"{place}.type='mixpro_mm.{plain}'")
        elif kind in CALLED:
            yield from _check_arguments(place, node, cls)


def _typed(config: dict) -> Iterator[tuple[str, dict, str | None]]:
    """Yield place, dict and ``_scope_`` of each type that is a string."""
    for section in SECTIONS:
        foreign, scopes = [], {}
        for place, node in dicts(config.get(section), section):
            below = f'{place}.'
            if place.rpartition('.')[2] in FOREIGN:
                foreign.append(below)
            if below.startswith(tuple(foreign)):
                continue
            if isinstance(node.get('_scope_'), str):
                scopes[below] = node['_scope_']
            if isinstance(node.get('type'), str):
                if node['type'].rpartition('.')[2].startswith('Albu'):  # types of another library
                    foreign.append(f'{below}transforms.')
                yield place, node, next((scopes[at] for at in reversed(scopes) if below.startswith(at)), None)


def _get(kind: str, name: str, scope: str | None = None):
    with REGISTRIES[kind].switch_scope_and_registry(scope) as registry:
        return registry.get(name)


def class_of(kind: str, name) -> type:
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


def _check_arguments(place: str, node: dict, cls: type) -> Iterator[Finding]:
    known = inspect.signature(cls).parameters
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        for key in sorted(set(node) - {*known, 'type', '_scope_', 'priority'}):  # handled by mmengine
            near = difflib.get_close_matches(key, known, 1)
            found = f'{place}.{key}: {cls.__name__} has no argument {key}; known: {", ".join(known)}'
            yield problem('arguments', found, f'{place} = dict({near[0] if near else ""}=...)')
