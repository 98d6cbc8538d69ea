"""Tests of a trained model: by the config of its training, and by others, for occluded, adversarial or unknown images.

Each has a Runner of its own that reads the checkpoint, as the toolkits' test scripts do. In the Runner that trained,
``EMAHook`` would begin its average anew, so that the test would be of other weights than the checkpoint has.
"""

import copy
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner

from mixpro_mm.study.configs import fingerprint, read_config, stage_config
from mixpro_mm.study.needs import files_of_test

__all__ = ['check_evaluation', 'check_test', 'evaluate', 'evaluation_mark', 'test_checkpoint']


def check_evaluation(path: str) -> None:
    """Raises FileNotFoundError if a folder, a list or weights that a test reads are not there."""
    missing = [str(needed) for needed in files_of_test(read_config(path)) if not needed.exists()]
    if missing:
        raise FileNotFoundError(f'{path}, a test that is to follow the training, needs {", ".join(missing)}: not there')


def check_test(config: Config) -> None:
    """Raises ValueError if a config does not say how to test what it trains."""
    missing = [key for key in ('test_dataloader', 'test_evaluator', 'test_cfg') if config.get(key) is None]
    if missing:
        raise ValueError(
            f'{config.filename} has no {" and no ".join(missing)}, so what it trains could not be tested: a stage of a '
            'study ends with a test'
        )


def evaluate(name: str, path: str, checkpoint: str, work_dir: Path, seed: int, launcher: str) -> dict[str, float]:
    """Test a checkpoint by a config; its metrics, ``NAME/`` before each.

    Args:
        name: Also of the folder in ``work_dir`` in which the test writes.
        path: Of the config.
        checkpoint: The file to test.
        work_dir: Of the stage.
        seed: Of the stage.
        launcher: As of the stage.
    """
    config = stage_config(path, work_dir, seed, None)
    config.launcher = launcher
    return {f'{name}/{metric}': value for metric, value in test_checkpoint(config, checkpoint, name).items()}


def test_checkpoint(config: Config, checkpoint: str, name: str = 'test') -> dict[str, float]:
    """Test a checkpoint by the test part of ``config``, which stays as it is; writes into ``name`` in its work dir."""
    config = copy.deepcopy(config)
    config.work_dir, config.resume, config.load_from = str(Path(config.work_dir) / name), False, checkpoint
    # under the name of the stage's own visualizer, that one would be handed out again
    config.visualizer = dict(config.get('visualizer') or dict(type='Visualizer'), name=name)
    return Runner.from_cfg(config).test()


test_checkpoint.__test__ = False  # a function to call, not one for pytest to collect


def evaluation_mark(path: str) -> str:
    """Fingerprint of the config of a test."""
    return fingerprint(read_config(path), None)
