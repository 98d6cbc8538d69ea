"""Packages that a config needs beyond those of the toolkits: its log back ends, timm and the like."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

from mixpro_mm.config_walk import dicts
from mixpro_mm.doctor.finding import Finding, problem

__all__ = ['check_packages']

# class -> module that it imports when it is built or first written to, which is before the first step
NEEDED = {
    'TensorboardVisBackend': 'tensorboard',
    'WandbVisBackend': 'wandb',
    'MLflowVisBackend': 'mlflow',
    'ClearMLVisBackend': 'clearml',
    'NeptuneVisBackend': 'neptune',
    'DVCLiveVisBackend': 'dvclive',
    'AimVisBackend': 'aim',
    'TIMMBackbone': 'timm',
    'TimmClassifier': 'timm',
    'HuggingFaceClassifier': 'transformers',
    'Albu': 'albumentations',
    'Albumentations': 'albumentations',
}
SECTIONS = ('model', 'visualizer', 'train_dataloader', 'val_dataloader', 'test_dataloader')


def check_packages(config: dict) -> Iterator[Finding]:
    """One problem for each class whose package is not installed."""
    for section in SECTIONS:
        for place, node in dicts(config.get(section), section):
            name = node.get('type')
            module = NEEDED.get(name.rpartition('.')[2]) if isinstance(name, str) else None
            if module and importlib.util.find_spec(module) is None:
                found = f'{place}.type = {name!r} needs {module}, which is not installed'
                yield problem('packages', found, f'python -m pip install {module}')
