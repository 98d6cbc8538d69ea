"""Tests of a trained model, and the metrics that become results.

Each test builds a new Runner that reads the checkpoint, as the toolkits' test scripts do: in the Runner of the
training, ``EMAHook`` would start a new average, so the tested weights would differ from the checkpoint.
"""

import copy
import gc
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mixpro_mm.evaluation.measures import METRIC_NAMES
from mixpro_mm.study.configs import files_needed, fingerprint, stage_config
from mixpro_mm.utils.configs import read_config

__all__ = ['EVALUATED', 'EVALUATIONS', 'METRICS', 'OPTIONAL', 'PUBLISHABLE', 'evaluate', 'test_checkpoint']

MULTI_SCALE = ' (MS)'  # suffix of metrics with test-time augmentation
# metric of a toolkit -> (name in the results, factor to percent)
METRICS = {reported: (name, factor) for reported, (_, name, factor) in METRIC_NAMES.items()}
METRICS[f'mIoU{MULTI_SCALE}'] = (f'mIoU{MULTI_SCALE}', 1.0)
# further tests of a classifier -> task of their results; 'NAME/' is the prefix of their metrics; ECE is measured by
# 'occlusion', or by 'calibration' if the curves are of a subset of the images
EVALUATIONS = dict.fromkeys(('occlusion', 'calibration', 'A', 'O'), 'robustness') | dict(probe='probe')
EVALUATED = {
    'occlusion/calibration/ece': 'ece',
    'calibration/calibration/ece': 'ece',
    'A/calibration/top1': 'A_top1',
    'A/calibration/rms_calibration_error': 'A_rms_calibration_error',
    'A/calibration/aurra': 'A_aurra',
    'O/ood/aupr': 'O_aupr',
    'O/ood/auroc': 'O_auroc',
    'O/ood/fpr95': 'O_fpr95',
}
# in the results only if there is a published value
OPTIONAL = ('bbox_mAP_50', 'bbox_mAP_75', 'segm_mAP_50', 'segm_mAP_75')
PUBLISHABLE = tuple(dict.fromkeys([*(name for name, _ in METRICS.values()), *EVALUATED.values()]))


def check_evaluation(path: str) -> None:
    """Raise FileNotFoundError if data or weights of a test do not exist."""
    missing = [str(needed) for needed in files_needed(read_config(path), parts=('test',)) if not needed.exists()]
    if missing:
        raise FileNotFoundError(f'{path}, a test after the training, needs {", ".join(missing)}, which do not exist')


def evaluate(name: str, path: str, trained: Config, checkpoint: str) -> dict[str, float]:
    """Test the model of a stage with another config, in the folder ``name``, and prefix each metric with ``NAME/``."""
    config = stage_config(path, trained.work_dir, trained.randomness.seed, None)
    config.launcher, config.model = trained.launcher, copy.deepcopy(trained.model)
    return {f'{name}/{metric}': value for metric, value in test_checkpoint(config, checkpoint, name).items()}


def test_checkpoint(config: Config, checkpoint: str, name: str = 'test') -> dict[str, float]:
    """Test a checkpoint with the test part of ``config``, in the folder ``name`` of its work dir."""
    gc.collect()  # of the last model, whose Runner and hooks refer to each other
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    config = copy.deepcopy(config)
    config.work_dir, config.resume, config.load_from = str(Path(config.work_dir) / name), False, checkpoint
    # Visualizer is a singleton for each name
    config.visualizer = dict(config.get('visualizer') or dict(type='Visualizer'), name=config.work_dir)
    return Runner.from_cfg(config).test()


def test_with_tta(config: Config, checkpoint: str) -> dict[str, float]:
    """Test a checkpoint with test-time augmentation, in the folder ``tta``, and append ``' (MS)'`` to each metric."""
    config = copy.deepcopy(config)
    config.test_dataloader.dataset.pipeline = config.tta_pipeline
    config.model = dict(config.tta_model, module=config.model)
    metrics = test_checkpoint(config, checkpoint, 'tta')
    return {f'{name}{MULTI_SCALE}': value for name, value in metrics.items()}


test_checkpoint.__test__ = test_with_tta.__test__ = False  # not tests of pytest


def evaluation_mark(path: str) -> str:
    """Return the fingerprint of a test config."""
    return fingerprint(read_config(path), None)
