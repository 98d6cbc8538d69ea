"""Further tests of a trained model, each by a config of its own: occluded, adversarial or unknown images."""

from pathlib import Path

from mmengine.runner import Runner

from mixpro_mm.study.configs import fingerprint, read_config, stage_config
from mixpro_mm.study.needs import files_of_test

__all__ = ['check_evaluation', 'evaluate', 'evaluation_mark']


def check_evaluation(path: str) -> None:
    """Raises FileNotFoundError if a folder, a list or weights that a test reads are not there."""
    missing = [str(needed) for needed in files_of_test(read_config(path)) if not needed.exists()]
    if missing:
        raise FileNotFoundError(f'{path}, a test that is to follow the training, needs {", ".join(missing)}: not there')


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
    config = stage_config(path, work_dir / name, seed, None)
    config.resume, config.load_from, config.launcher = False, checkpoint, launcher
    visualizer = config.setdefault('visualizer', dict(type='Visualizer'))
    visualizer.name = name  # under the name of the stage's own, that one would be handed out again
    return {f'{name}/{metric}': value for metric, value in Runner.from_cfg(config).test().items()}


def evaluation_mark(path: str) -> str:
    """Fingerprint of the config of a test."""
    return fingerprint(read_config(path), None)
