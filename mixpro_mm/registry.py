"""Child registries: ``mixpro_mm.X`` resolves from any host's config without ``custom_imports``.

The same classes stand in the hosts' own registries too, so that plain names work once ``custom_imports`` has run.
"""

from mmengine.registry import DATASETS as MMENGINE_DATASETS
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
    'HOOKS',
    'LOOPS',
    'METRICS',
    'MODELS',
    'PARAM_SCHEDULERS',
    'TRANSFORMS',
    'WEIGHT_INITIALIZERS',
    'register',
]


def _child(parent: Registry, *locations: str) -> Registry:
    return Registry(parent.name, parent=parent, scope='mixpro_mm', locations=list(locations))


BATCH_AUGMENTS = _child(MMPRETRAIN_BATCH_AUGMENTS, 'mixpro_mm.augments')
DATASETS = _child(MMENGINE_DATASETS, 'mixpro_mm.datasets')
HOOKS = _child(
    MMENGINE_HOOKS, 'mixpro_mm.guard', 'mixpro_mm.labeling.hook', 'mixpro_mm.randomness', 'mixpro_mm.transfer'
)
LOOPS = _child(MMENGINE_LOOPS, 'mixpro_mm.robustness.occlusion', 'mixpro_mm.robustness.record')
METRICS = _child(MMENGINE_METRICS, 'mixpro_mm.robustness.metrics')
MODELS = _child(MMENGINE_MODELS, 'mixpro_mm.backbones', 'mixpro_mm.losses')
PARAM_SCHEDULERS = _child(MMENGINE_PARAM_SCHEDULERS, 'mixpro_mm.schedule')
TRANSFORMS = _child(MMENGINE_TRANSFORMS, 'mixpro_mm.datasets')
WEIGHT_INITIALIZERS = _child(MMENGINE_WEIGHT_INITIALIZERS, 'mixpro_mm.backbones')


def register(registry: Registry, *aliases: str):
    """Class decorator: enter the class, and its ``aliases``, here and in the host registry this one is a child of."""

    def enter(cls):
        for each in (registry, registry.parent):
            each.register_module(name=[cls.__name__, *aliases], module=cls)
        return cls

    return enter
