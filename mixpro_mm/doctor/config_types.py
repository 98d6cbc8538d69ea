"""Does every ``type`` of a config resolve in a registry of its section, in the scope it is looked up from?"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator

from mixpro_mm.config_walk import dicts
from mixpro_mm.doctor.finding import Finding, ok, one_line, problem

__all__ = ['check_labels', 'check_types', 'class_of']

DATA = ('DATASETS', 'TRANSFORMS', 'DATA_SAMPLERS', 'FUNCTIONS', 'TASK_UTILS')
MODEL = ('MODELS', 'TASK_UTILS', 'BATCH_AUGMENTS', 'WEIGHT_INITIALIZERS')
TEST = ('METRICS', 'EVALUATOR')
# section -> registries: the first for the type at its top, all of them below
SECTIONS = {
    'model': MODEL,
    'data_preprocessor': MODEL,
    'tta_model': MODEL,
    'train_dataloader': DATA,
    'val_dataloader': DATA,
    'test_dataloader': DATA,
    'val_evaluator': TEST,
    'test_evaluator': TEST,
    'train_cfg': ('LOOPS',),
    'val_cfg': ('LOOPS', *MODEL, *TEST),
    'test_cfg': ('LOOPS', *MODEL, *TEST),
    'optim_wrapper': ('OPTIM_WRAPPERS', 'OPTIMIZERS', 'OPTIM_WRAPPER_CONSTRUCTORS'),
    'param_scheduler': ('PARAM_SCHEDULERS',),
    'default_hooks': ('HOOKS',),
    'custom_hooks': ('HOOKS', *MODEL, 'TRANSFORMS', 'VISUALIZERS'),
    'visualizer': ('VISUALIZERS', 'VISBACKENDS'),
    'log_processor': ('LOG_PROCESSORS',),
    'strategy': ('STRATEGIES', 'MODEL_WRAPPERS'),
}
# keys below which a type is looked up elsewhere: in mmcv.ops, in other libraries, or not at all
FOREIGN = ('nms', 'roi_layer', 'labeling', 'paramwise_cfg', 'clip_grad', 'metainfo', 'backend_args', 'tokenizer')
FOREIGN_BELOW = ('Albu', 'Albumentations', 'Albumentation')
AVERAGE = 'the moving average of the model'


def check_types(config: dict) -> Iterator[Finding]:
    """One problem for each name that does not resolve, or one line that all do."""
    from mmengine.registry import DefaultScope

    scope, count, failed, lost = config.get('default_scope') or 'mmengine', 0, 0, {}
    imports = (config.get('custom_imports') or {}).get('imports') or ()
    imports = (imports,) if isinstance(imports, str) else imports
    scoped: set[str] = set()  # registries whose classes of ours a scoped name before has imported
    with DefaultScope.overwrite_default_scope(scope):
        for place, name, own_scope, kinds in _typed(config):
            count += 1
            try:
                kind = next((kind for kind in kinds if _resolves(kind, name, own_scope)), None)
            except Exception as error:  # of a module that the registry imports
                failed += 1
                yield problem('types', f'{place}: {name} does not import: {one_line(error)}', f"{place}='...'")
                continue
            if kind is None:
                lost.setdefault(name, (place, own_scope, kinds))
            elif name.startswith('mixpro_mm.'):
                scoped.add(kind)
            elif kind not in scoped and own_scope != 'mixpro_mm' and _only_here(class_of(kind, name), imports):
                failed += 1
                found = f"{place} = '{name}' is a class of mixpro_mm, which nothing in this config imports (KeyError)"
                yield problem('types', found, f"{place}='mixpro_mm.{name.rpartition('.')[2]}'")
        for name, (place, own_scope, kinds) in lost.items():
            where = f'no {" or ".join(kinds[:2])} of scope {own_scope or scope} has it'
            yield problem('types', f"{place} = '{name}': {where}", _instead(place, name, own_scope, kinds))
    if not lost and not failed:
        yield ok('types', f'all {count} resolve from scope {scope}')


def _only_here(kind: type | None, imports) -> bool:
    """Whether a class of ours is registered in this process only, as the doctor has imported it."""
    module = getattr(kind, '__module__', '') or ''
    covering = [
        name
        for name in imports
        if name == 'mixpro_mm.plugin' or (name != 'mixpro_mm' and f'{module}.'.startswith(f'{name}.'))
    ]  # the package itself registers nothing
    return module.startswith('mixpro_mm.') and not covering


def _typed(config: dict) -> Iterator[tuple[str, str, str | None, tuple[str, ...]]]:
    """Place, name, ``_scope_`` and registries of every type that is a string."""
    for section, kinds in SECTIONS.items():
        foreign: list[str] = []
        scopes: dict[str, str] = {}
        for place, node in dicts(config.get(section), section):
            if any(place == other or place.startswith(f'{other}.') for other in foreign):
                continue
            if place.rpartition('.')[2] in FOREIGN:
                foreign.append(place)
                continue
            if isinstance(node.get('_scope_'), str):
                scopes[place] = node['_scope_']
            name = node.get('type')
            if not isinstance(name, str):
                continue
            if name.rpartition('.')[2] in FOREIGN_BELOW:
                foreign.append(f'{place}.transforms')
            own = [scopes[other] for other in scopes if place == other or place.startswith(f'{other}.')]
            yield f'{place}.type', name, own[-1] if own else None, kinds


def _registry(kind: str):
    import mmengine.registry

    if kind == 'BATCH_AUGMENTS':
        from mmpretrain.registry import BATCH_AUGMENTS

        return BATCH_AUGMENTS
    return getattr(mmengine.registry, kind)


def _resolves(kind: str, name: str, scope: str | None) -> bool:
    try:
        registry = _registry(kind)
    except ImportError:  # of a host that this config may do without
        return False
    with registry.switch_scope_and_registry(scope) as own:
        return own.get(name) is not None


def _instead(place: str, name: str, scope: str | None, kinds: tuple[str, ...]) -> str:
    """The same name in another scope, the nearest name in this one, or where such classes come from."""
    prefix, _, plain = name.rpartition('.')
    if prefix in ('mmcls', 'mmselfsup'):  # as mmpretrain was called (mmsegmentation#2991)
        return f"{place}='mmpretrain.{plain}'"
    registries = [(registry.root, *registry.root.children.values()) for registry in map(_registry, kinds)]
    others = [other for family in registries for other in family]
    if not prefix:
        elsewhere = [other.scope for other in others if plain in other.module_dict and other.scope != scope]
        if elsewhere:
            return f"{place}='{elsewhere[0]}.{plain}'"
    here = [key for other in others if prefix in ('', other.scope) for key in other.module_dict]
    near = difflib.get_close_matches(plain, here, 1)
    if near:
        return f"{place}='{prefix}.{near[0]}'" if prefix else f"{place}='{near[0]}'"
    return f"custom_imports = dict(imports=['module.with.{plain}'])"


def check_labels(config: dict) -> Iterator[Finding]:
    """A labeling that exists, and the hooks without which a mixing method trains on other labels, or not at all.

    MixPro is nothing but its labels, which LabelingHook weighs. What overrides ``MixAugment.bind`` stops at its first
    batch unless that hook has shown it the model, or, with ``teacher='ema'``, the average that EMAHook keeps.
    """
    from mmengine.hooks import EMAHook
    from mmengine.registry import DefaultScope

    from mixpro_mm.augments.mask_mix import MixPro
    from mixpro_mm.labeling.hook import LabelingHook
    from mixpro_mm.labeling.rules import build_labeling

    hooks = [hook for hook in config.get('custom_hooks') or () if isinstance(hook, dict)]
    augments = ((config.get('model') or {}).get('train_cfg') or {}).get('augments') or ()
    with DefaultScope.overwrite_default_scope(config.get('default_scope') or 'mmengine'):
        kinds = [class_of('HOOKS', hook.get('type')) for hook in hooks]
        methods = [
            (node, kind) for _, node in dicts(augments) if (kind := class_of('BATCH_AUGMENTS', node.get('type')))
        ]
    for index, (hook, kind) in enumerate(zip(hooks, kinds, strict=True)):
        if issubclass(kind or object, LabelingHook) and 'labeling' in hook:
            try:
                build_labeling(hook['labeling'])
            except (ValueError, TypeError) as error:
                place = f'custom_hooks.{index}.labeling'
                yield problem('labels', f'{place}: {one_line(error)}', f'--cfg-options {place}=AttentionLabeling')
    has = {wanted: any(issubclass(kind or object, wanted) for kind in kinds) for wanted in (EMAHook, LabelingHook)}
    for node, kind in methods:
        name, shown = node['type'], _has_to_see(node, kind)
        if kind is MixPro and not has[LabelingHook]:
            found = f'{name} leaves the labels of mixed images open, and no LabelingHook weighs them'
            yield problem('labels', found, _with_hooks(hooks, "dict(type='mixpro_mm.LabelingHook')"))
        elif shown:
            wanted = {LabelingHook: "dict(type='mixpro_mm.LabelingHook', labeling='AreaLabeling')"}
            if shown == AVERAGE:
                wanted = {EMAHook: "dict(type='EMAHook')"} | wanted
            lacking = [hook for hook in wanted if not has[hook]]
            if lacking:
                none = ' and no '.join(hook.__name__ for hook in lacking)
                found = f'{name} has to see {shown}, but custom_hooks have no {none}: training would stop'
                yield problem('labels', found, _with_hooks(hooks, *(wanted[hook] for hook in lacking)))


def class_of(kind: str, name) -> type | None:
    """What a ``type`` stands for, a class already or its name; None where it does not resolve, as check_types says."""
    try:
        with _registry(kind).switch_scope_and_registry(None) as own:
            found = own.get(name) if isinstance(name, str) else name
    except Exception:
        return None
    return found if isinstance(found, type) else None


def _has_to_see(node: dict, kind: type) -> str | None:
    """What a mixing method cannot mix without, in words; None if it needs no model, or brings a teacher of its own."""
    from mixpro_mm.augments.base import MixAugment

    if getattr(kind, 'bind', MixAugment.bind) is MixAugment.bind:
        return None
    teacher = inspect.signature(kind).parameters.get('teacher')
    if teacher is None:
        return 'the model in training'
    return AVERAGE if node.get('teacher', teacher.default) == 'ema' else None


def _with_hooks(hooks: list, *more: str) -> str:
    return f'custom_hooks = [{"..., " * bool(hooks)}{", ".join(more)}]'
