"""Do the types of a config resolve, are their packages installed, and do their classes have these arguments?"""

import difflib
import importlib.util
import inspect
from collections.abc import Iterator

import mmengine.registry
from mmpretrain.registry import BATCH_AUGMENTS

from mixpro_mm.config_walk import dicts
from mixpro_mm.doctor.finding import Finding, ok, one_line, problem

__all__ = ['check_arguments', 'check_packages', 'check_types', 'class_of']

MODEL = 'MODELS TASK_UTILS BATCH_AUGMENTS WEIGHT_INITIALIZERS'
DATA = 'DATASETS TRANSFORMS DATA_SAMPLERS FUNCTIONS TASK_UTILS'
# section -> registries of its types
SECTIONS = {
    **dict.fromkeys(('model', 'data_preprocessor', 'tta_model'), MODEL),
    **dict.fromkeys(('train_dataloader', 'val_dataloader', 'test_dataloader'), DATA),
    **dict.fromkeys(('val_evaluator', 'test_evaluator'), 'METRICS EVALUATOR'),
    **dict.fromkeys(('train_cfg', 'val_cfg', 'test_cfg'), f'LOOPS METRICS {MODEL}'),
    'optim_wrapper': 'OPTIM_WRAPPERS OPTIMIZERS OPTIM_WRAPPER_CONSTRUCTORS',
    'param_scheduler': 'PARAM_SCHEDULERS',
    'default_hooks': 'HOOKS',
    'custom_hooks': f'HOOKS TRANSFORMS VISUALIZERS {MODEL}',
    'visualizer': 'VISUALIZERS VISBACKENDS',
    'log_processor': 'LOG_PROCESSORS',
    'strategy': 'STRATEGIES MODEL_WRAPPERS',
}
# keys below which a type is looked up elsewhere: in mmcv.ops, in other libraries, or not at all
FOREIGN = ('nms', 'roi_layer', 'labeling', 'paramwise_cfg', 'clip_grad', 'metainfo', 'backend_args', 'tokenizer')
FOREIGN_BELOW = ('Albu', 'Albumentations', 'Albumentation')
BACKENDS = ('Tensorboard', 'Wandb', 'MLflow', 'ClearML', 'Neptune', 'DVCLive', 'Aim')
# class -> package that it imports when it is built or first written to
PACKAGES = {f'{name}VisBackend': name.lower() for name in BACKENDS} | dict(
    TIMMBackbone='timm',
    TimmClassifier='timm',
    HuggingFaceClassifier='transformers',
    Albu='albumentations',
    Albumentations='albumentations',
)
# parts whose dicts become arguments of the class, and its registry
PARTS = {
    'default_hooks': 'HOOKS',
    'custom_hooks': 'HOOKS',
    'model.train_cfg.augments': 'BATCH_AUGMENTS',
    'optim_wrapper.optimizer': 'OPTIMIZERS',
    'val_evaluator': 'METRICS',
    'test_evaluator': 'METRICS',
}


def check_types(config: dict) -> Iterator[Finding]:
    """Names that do not resolve, and plain names of ours that nothing in the config imports."""
    imports = (config.get('custom_imports') or {}).get('imports') or ()
    imports = {imports} if isinstance(imports, str) else {*imports}
    # the package itself registers nothing, its plugin everything
    covering = ('mixpro_mm.',) if 'mixpro_mm.plugin' in imports else tuple(f'{each}.' for each in imports - {'mixpro_mm'})
    imported = set()  # registries whose classes of ours a scoped name has imported
    wrong, count = set(), 0
    for place, name, scope, kinds in _types(config):
        count += 1
        found = kind = None
        try:
            for kind in kinds:
                if (found := _get(kind, name, scope)) is not None:
                    break
        except Exception as error:  # of a module that the registry imports
            wrong.add(name)
            yield problem('types', f'{place}: {name} cannot be imported: {one_line(error)}')
            continue
        module = getattr(found, '__module__', '')
        if found is None:
            if name not in wrong:
                what = f"{place} = '{name}' is in no registry {' or '.join(kinds[:2])}"
                yield problem('types', what, _instead(name, place, kinds))
            wrong.add(name)
        elif name.startswith('mixpro_mm.'):
            imported.add(kind)
        elif (
            module.startswith('mixpro_mm.')
            and scope != 'mixpro_mm'
            and kind not in imported
            and not f'{module}.'.startswith(covering)
        ):
            wrong.add(name)
            what = f"{place} = '{name}' is a class of mixpro_mm, which nothing in this config imports (KeyError)"
            yield problem('types', what, f"{place}='mixpro_mm.{name.rpartition('.')[2]}'")
    if not wrong:
        yield ok('types', f'all {count} resolve')


def _types(config: dict) -> Iterator[tuple[str, str, str | None, list[str]]]:
    """Place, name, ``_scope_`` and registries of every type that is a string."""
    for section, kinds in SECTIONS.items():
        foreign, scopes = [], {}
        for place, node in dicts(config.get(section), section):
            name, below = node.get('type'), f'{place}.'
            if place.rpartition('.')[2] in FOREIGN:
                foreign.append(below)
            if below.startswith(tuple(foreign)):
                continue
            if isinstance(node.get('_scope_'), str):
                scopes[below] = node['_scope_']
            if isinstance(name, str):
                if name.rpartition('.')[2] in FOREIGN_BELOW:
                    foreign.append(f'{place}.transforms.')
                own = [scope for above, scope in scopes.items() if below.startswith(above)]
                yield f'{place}.type', name, own[-1] if own else None, kinds.split()


def _registry(kind: str):
    return BATCH_AUGMENTS if kind == 'BATCH_AUGMENTS' else getattr(mmengine.registry, kind)


def _get(kind: str, name: str, scope: str | None = None):
    """The class of a name, or None."""
    with _registry(kind).switch_scope_and_registry(scope) as registry:
        return registry.get(name)


def class_of(kind: str, name) -> type:
    """What a ``type`` stands for, a class or its name; ``object`` where it does not resolve, see ``check_types``."""
    try:
        found = _get(kind, name) if isinstance(name, str) else name
    except Exception:
        found = None
    return found if isinstance(found, type) else object


def _instead(name: str, place: str, kinds: list[str]) -> str:
    """The same name in another scope, else the nearest one, else where classes come from."""
    prefix, _, plain = name.rpartition('.')
    if prefix in ('mmcls', 'mmselfsup'):  # as mmpretrain was called (mmsegmentation#2991)
        return f"{place}='mmpretrain.{plain}'"
    roots = [_registry(kind).root for kind in kinds]
    scopes = {key: each.scope for root in roots for each in (root, *root.children.values()) for key in each.module_dict}
    if plain in scopes and scopes[plain] != prefix:
        return f"{place}='{scopes[plain]}.{plain}'"
    near = difflib.get_close_matches(plain, [key for key in scopes if prefix in ('', scopes[key])], 1)
    if near:
        return f"{place}='{prefix}.{near[0]}'" if prefix else f"{place}='{near[0]}'"
    return f"custom_imports = dict(imports=['module.with.{plain}'])"


def check_packages(config: dict) -> Iterator[Finding]:
    """Log back ends and models whose package is not installed."""
    for section in ('model', 'visualizer', 'train_dataloader', 'val_dataloader', 'test_dataloader'):
        for place, node in dicts(config.get(section), section):
            name = str(node.get('type')).rpartition('.')[2]
            if name in PACKAGES and importlib.util.find_spec(PACKAGES[name]) is None:
                found = f'{place}.type = {name!r} needs {PACKAGES[name]}, which is not installed'
                yield problem('packages', found, f'python -m pip install {PACKAGES[name]}')


def check_arguments(config: dict) -> Iterator[Finding]:
    """Arguments that the class does not have."""
    for part, kind in PARTS.items():
        node = config
        for key in part.split('.'):
            node = (node.get(key) if isinstance(node, dict) else None) or {}
        # a part is one typed dict, or a list or dict of them
        single = isinstance(node, dict) and 'type' in node
        children = {part: node} if single else {place: child for place, child in dicts(node, part)}
        for place, child in children.items():
            if 'type' not in child or (not single and place.count('.') != part.count('.') + 1):
                continue
            cls = class_of(kind, child['type'])
            known = inspect.signature(cls).parameters
            if cls is object or any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
                continue
            taken = {'type', '_scope_', *(['priority'] if kind == 'HOOKS' else [])}  # by the host
            for key in sorted(set(child) - set(known) - taken):
                near = difflib.get_close_matches(key, known, 1)
                found = f'{place}.{key}: {cls.__name__} has no argument {key}; it has {", ".join(known)}'
                yield problem('arguments', found, f'{place} = dict({near[0] if near else ""}=...)')
