"""Child registries: ``mixpro_mm.X`` resolves in any toolkit without ``custom_imports``.

Classes are also registered in the parent registries, so that plain names work after ``custom_imports``. Without
mmpretrain the registries are None and nothing is registered; augments and labelings work in plain PyTorch.
"""

from importlib import import_module
from importlib.util import find_spec

__all__ = [
    'BATCH_AUGMENTS',
    'DATASETS',
    'FUNCTIONS',
    'HOOKS',
    'LOOPS',
    'METRICS',
    'MODELS',
    'PARAM_SCHEDULERS',
    'TRANSFORMS',
    'WEIGHT_INITIALIZERS',
    'register',
]

HAS_MMPRETRAIN = find_spec('mmpretrain') is not None


def _child(name: str, subpackage: str, toolkit: str = 'mmengine'):
    if not HAS_MMPRETRAIN:
        return None
    parent = getattr(import_module(f'{toolkit}.registry'), name)
    return type(parent)(parent.name, parent=parent, scope='mixpro_mm', locations=[f'mixpro_mm.{subpackage}'])


BATCH_AUGMENTS = _child('BATCH_AUGMENTS', 'augments', 'mmpretrain')
DATASETS = _child('DATASETS', 'datasets')
FUNCTIONS = _child('FUNCTIONS', 'datasets')
HOOKS = _child('HOOKS', 'hooks')
LOOPS = _child('LOOPS', 'evaluation')
METRICS = _child('METRICS', 'evaluation')
MODELS = _child('MODELS', 'models')
PARAM_SCHEDULERS = _child('PARAM_SCHEDULERS', 'hooks')
TRANSFORMS = _child('TRANSFORMS', 'datasets')
WEIGHT_INITIALIZERS = _child('WEIGHT_INITIALIZERS', 'models')


def register(registry, *aliases: str):
    """Return a class decorator that registers a class here and in the parent registry.

    Args:
        registry: One of the registries above.
        aliases: Further names of the class.
    """

    def enter(cls):
        for each in (registry, registry.parent) if HAS_MMPRETRAIN else ():
            each.register_module(name=[cls.__name__, *aliases], module=cls)
        return cls

    return enter
