"""Child registries: ``mixpro_mm.X`` resolves in any toolkit without ``custom_imports``.

Classes are also registered in the parent registries, so that plain names work after ``custom_imports``.
"""

from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import FUNCTIONS as MMENGINE_FUNCTIONS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import LOOPS as MMENGINE_LOOPS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import PARAM_SCHEDULERS as MMENGINE_PARAM_SCHEDULERS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import WEIGHT_INITIALIZERS as MMENGINE_WEIGHT_INITIALIZERS
from mmengine.registry import Registry
from mmpretrain.registry import BATCH_AUGMENTS as MMPRETRAIN_BATCH_AUGMENTS

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


def _child(parent: Registry, subpackage: str) -> Registry:
    return Registry(parent.name, parent=parent, scope='mixpro_mm', locations=[f'mixpro_mm.{subpackage}'])


BATCH_AUGMENTS = _child(MMPRETRAIN_BATCH_AUGMENTS, 'augments')
DATASETS = _child(MMENGINE_DATASETS, 'datasets')
FUNCTIONS = _child(MMENGINE_FUNCTIONS, 'datasets')
HOOKS = _child(MMENGINE_HOOKS, 'hooks')
LOOPS = _child(MMENGINE_LOOPS, 'evaluation')
METRICS = _child(MMENGINE_METRICS, 'evaluation')
MODELS = _child(MMENGINE_MODELS, 'models')
PARAM_SCHEDULERS = _child(MMENGINE_PARAM_SCHEDULERS, 'hooks')
TRANSFORMS = _child(MMENGINE_TRANSFORMS, 'datasets')
WEIGHT_INITIALIZERS = _child(MMENGINE_WEIGHT_INITIALIZERS, 'models')


def register(registry: Registry, *aliases: str):
    """Return a class decorator that registers a class here and in the parent registry.

    Args:
        registry: One of the registries above.
        aliases: Further names of the class.
    """

    def enter(cls):
        for each in (registry, registry.parent):
            each.register_module(name=[cls.__name__, *aliases], module=cls)
        return cls

    return enter
