"""A second test of a trained model: several scales and flips of every image, their predictions averaged."""

import copy
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner

from mixpro_mm.study.metrics import MULTI_SCALE

__all__ = ['check_tta', 'test_again', 'tta_config']


def check_tta(config: Config) -> None:
    """Raises ValueError if a config does not say how to test with augmentation."""
    missing = [key for key in ('tta_model', 'tta_pipeline') if key not in config]
    if missing:
        raise ValueError(f'{config.filename} has no {" and no ".join(missing)}, so it cannot be tested a second time')


def tta_config(config: Config, checkpoint: str) -> Config:
    """The config of the second test, as the toolkits' test scripts build it; in a folder of its own.

    Args:
        config: Of the stage; stays as it is.
        checkpoint: The file to test.
    """
    again = copy.deepcopy(config)
    again.test_dataloader.dataset.pipeline = again.tta_pipeline
    again.model = dict(again.tta_model, module=again.model)
    again.work_dir = str(Path(config.work_dir) / 'tta')  # a folder of its own: curves are read from the stage's logs
    again.resume, again.load_from = False, checkpoint
    if 'visualizer' in again:
        again.visualizer.name = 'tta'  # the first test's has a name already, under which it would be handed out again
    return again


def test_again(config: Config, checkpoint: str) -> dict[str, float]:
    """Run the second test; its metrics under their names with ``' (MS)'`` at the end."""
    metrics = Runner.from_cfg(tta_config(config, checkpoint)).test()
    return {f'{name}{MULTI_SCALE}': value for name, value in metrics.items()}


test_again.__test__ = False  # a function to call, not one for pytest to collect
