"""A second test of a trained model: several scales and flips of every image, their predictions averaged."""

import copy

from mmengine.config import Config

from mixpro_mm.study.evaluate import test_checkpoint
from mixpro_mm.study.metrics import MULTI_SCALE

__all__ = ['check_tta', 'test_again', 'tta_config']


def check_tta(config: Config) -> None:
    """Raises ValueError if a config does not say how to test with augmentation."""
    missing = [key for key in ('tta_model', 'tta_pipeline') if key not in config]
    if missing:
        raise ValueError(f'{config.filename} has no {" and no ".join(missing)}, so it cannot be tested a second time')


def tta_config(config: Config) -> Config:
    """The config of the second test, as the toolkits' test scripts build it; ``config`` stays as it is."""
    again = copy.deepcopy(config)
    again.test_dataloader.dataset.pipeline = again.tta_pipeline
    again.model = dict(again.tta_model, module=again.model)
    return again


def test_again(config: Config, checkpoint: str) -> dict[str, float]:
    """Test a checkpoint so, in the folder ``tta``; metrics under their names with ``' (MS)'`` at the end."""
    metrics = test_checkpoint(tta_config(config), checkpoint, 'tta')
    return {f'{name}{MULTI_SCALE}': value for name, value in metrics.items()}


test_again.__test__ = False  # a function to call, not one for pytest to collect
