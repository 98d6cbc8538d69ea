"""Do this package's classes resolve from the scope of every host?"""

from __future__ import annotations

import importlib

__all__ = ['HOSTS', 'scopes']

HOSTS = ('mmpretrain', 'mmseg', 'mmdet')


def scopes() -> dict:
    """Look every class of the child registries up as ``mixpro_mm.NAME``, from each host as from its config.

    Returns:
        ``hosts``: those whose registry can be imported; ``classes``: how many there are; ``lost``: those not found, as
        'HOOKS mixpro_mm.LabelingHook from mmseg'.
    """
    from mixpro_mm import registry as own

    hosts = [host for host in HOSTS if _has_registry(host)]
    names, lost = set(), []
    for kind in own.__all__:
        child = getattr(own, kind)
        if not hasattr(child, 'import_from_location'):
            continue  # the decorator
        child.import_from_location()
        names |= set(child.module_dict)
        for host in hosts if child.root.scope == 'mmengine' else ['mmpretrain']:
            with child.root.switch_scope_and_registry(host) as registry:
                for name, cls in child.module_dict.items():
                    if registry.get(f'mixpro_mm.{name}') is not cls:
                        lost.append(f'{kind} mixpro_mm.{name} from {host}')
    return dict(hosts=hosts, classes=len(names), lost=lost)


def _has_registry(host: str) -> bool:
    try:
        importlib.import_module(f'{host}.registry')
    except Exception:  # the step of that host says why
        return False
    return True
