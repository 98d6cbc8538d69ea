import pytest
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer


@pytest.fixture(autouse=True)
def no_globals_left():
    """A Runner enters itself, its scope and its log under global names; other tests want them as they were."""
    managers = (DefaultScope, MMLogger, MessageHub, Visualizer)
    saved = [dict(manager._instance_dict) for manager in managers]
    yield
    for handler in [handler for logger in MMLogger._instance_dict.values() for handler in logger.handlers]:
        handler.close()
    for manager, instances in zip(managers, saved, strict=True):
        manager._instance_dict.clear()
        manager._instance_dict.update(instances)
