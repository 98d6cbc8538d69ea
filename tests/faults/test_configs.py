"""Paper-scale configs have the check hooks, except configs of the toolkits."""

import pytest

from tests.config_rows import CONFIGS, read

GUARDS = dict(
    checkpoint='mixpro_mm.AtomicCheckpointHook',
    checkpoint_check='mixpro_mm.CheckpointCheckHook',
    class_check='mixpro_mm.ClassCheckHook',
    nonfinite_loss='mixpro_mm.NonFiniteLossHook',
)
OF_HOSTS = ('deeplabv3plus_', 'mask-rcnn_r50_', 'mask-rcnn_r101_')
FOLDERS = ('pretrain', 'ablation', 'segmentation', 'detection')
NAMES = [path for folder in FOLDERS for path in sorted((CONFIGS / folder).rglob('*.py'))]


@pytest.mark.parametrize('path', NAMES, ids=lambda path: path.stem)
def test_paper_scale_configs_are_guarded(path):
    hooks = read(path).default_hooks
    found = {name: hooks[name].type for name in GUARDS if name in hooks}
    assert found == (dict(checkpoint='CheckpointHook') if path.name.startswith(OF_HOSTS) else GUARDS)
