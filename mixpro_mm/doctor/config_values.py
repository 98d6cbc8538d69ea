"""Values that stop a run when it is built, found without building it."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator

from mixpro_mm.config_walk import dicts
from mixpro_mm.doctor.config_types import class_of
from mixpro_mm.doctor.finding import Finding, problem

__all__ = ['check_arguments', 'check_values']

# parts whose dicts are handed to the class as they are, the registry of its types, and keys the host takes out before
PARTS = (
    ('default_hooks', 'HOOKS', {'priority'}),
    ('custom_hooks', 'HOOKS', {'priority'}),
    ('model.train_cfg.augments', 'BATCH_AUGMENTS', set()),
    ('optim_wrapper.optimizer', 'OPTIMIZERS', set()),
    ('val_evaluator', 'METRICS', set()),
    ('test_evaluator', 'METRICS', set()),
)


def check_arguments(config: dict) -> Iterator[Finding]:
    """One problem for each argument that its class does not have."""
    from mmengine.registry import DefaultScope

    with DefaultScope.overwrite_default_scope(config.get('default_scope') or 'mmengine'):
        for part, kind, taken in PARTS:
            for place, node in _entries(config, part):
                cls = class_of(kind, node['type'])
                known = inspect.signature(cls).parameters if cls else {}
                if not cls or any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
                    continue
                for key in sorted(set(node) - set(known) - taken - {'type', '_scope_'}):
                    near = difflib.get_close_matches(key, known, 1)
                    found = f'{place}.{key}: {cls.__name__} has no argument {key}; it has {", ".join(known) or "none"}'
                    yield problem(
                        'arguments', found, f'{place} = dict({near[0]}=...)' if near else f'{place} = dict(...)'
                    )


def _entries(config: dict, part: str) -> Iterator[tuple[str, dict]]:
    """Place and dict of each typed entry of a part: itself, or those of its list or dict."""
    node = config
    for key in part.split('.'):
        node = (node.get(key) if isinstance(node, dict) else None) or {}
    if isinstance(node, dict) and 'type' in node:
        children = [(part, node)]
    else:
        pairs = node.items() if isinstance(node, dict) else enumerate(node)
        children = [(f'{part}.{key}', child) for key, child in pairs]
    yield from ((place, child) for place, child in children if isinstance(child, dict) and 'type' in child)


def check_values(config: dict) -> Iterator[Finding]:
    """Parts that belong together, lists that are none, shares above 1, numbers that are strings."""
    if isinstance(config.get('custom_hooks'), dict):
        yield problem('values', 'custom_hooks is a dict and must be a list of dicts', 'custom_hooks = [dict(...)]')
    for name in ('val', 'test'):
        parts = [f'{name}_dataloader', f'{name}_evaluator', f'{name}_cfg']
        lacking = [part for part in parts if config.get(part) is None]
        if lacking and len(lacking) < len(parts):
            there = [part for part in parts if part not in lacking]
            found = f'{" and ".join(lacking)} not set, but {" and ".join(there)}: mmengine wants all or none'
            yield problem('values', found, f'{lacking[0]} = dict(...)')
    training = (config.get('model') or {}).get('train_cfg') or {}
    augments, probs = training.get('augments'), training.get('probs')
    probs = [probs] if isinstance(probs, int | float) else probs
    if isinstance(probs, (list, tuple)) and isinstance(augments, (list, tuple)):
        if len(probs) != len(augments):
            found = f'model.train_cfg has {len(augments)} augments and {len(probs)} probs'
            yield problem('values', found, 'model.train_cfg.probs = [...]')
        elif sum(probs) > 1:
            found = f'model.train_cfg.probs add up to {sum(probs):g}, and at most to 1'
            yield problem('values', found, 'model.train_cfg.probs = [...]')
    for place, node in dicts(config.get('model'), 'model'):
        if isinstance(node.get('num_classes'), str):
            found = f'{place}.num_classes is the string {node["num_classes"]!r} and must be a number'
            yield problem('values', found, f'--cfg-options {place}.num_classes={node["num_classes"] or 10}')
    for place, node in dicts(config.get('param_scheduler'), 'param_scheduler'):
        begin, end = node.get('begin', 0), node.get('end')
        if isinstance(begin, int) and isinstance(end, int) and end <= begin:
            found = f'{place} begins at {begin} and ends at {end}: end must be larger'
            yield problem('values', found, f'{place} = dict(begin=..., end=...)')
        warmup, length = node.get('warmup'), end or (config.get('train_cfg') or {}).get('max_epochs')
        if isinstance(warmup, int) and isinstance(length, int) and warmup >= length - begin:
            found = f'{place}.warmup is {warmup}, and the schedule has {length - begin} epochs: it must be less'
            yield problem('values', found, f'{place} = dict(warmup=...)')
