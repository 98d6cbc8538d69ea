"""MixPro without OpenMMLab: the example runs in an environment that has no mm* package."""

import os
import re
import subprocess
import sysconfig
import venv
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from tests.docs.pages import DOCS

OPENMMLAB = r'(?i)^(onedl.*|mmengine|mmcv|mmpretrain|mmseg|mmsegmentation|mmdet|mim|openmim|mixpro_?mi?m).*'
EXAMPLE = DOCS / 'examples' / 'plain_pytorch.py'


@pytest.fixture(scope='module')
def python(tmp_path_factory):
    """Return a function that runs Python in an environment with links to all other installed packages."""
    folder = tmp_path_factory.mktemp('plain')
    (folder / 'links').mkdir()
    for path in Path(sysconfig.get_path('purelib')).iterdir():
        if not re.match(OPENMMLAB, path.name) and path.suffix != '.pth':
            (folder / 'links' / path.name).symlink_to(path)
    venv.create(folder / 'venv', symlinks=True)
    settings = dict(os.environ, PYTHONPATH=f'{DOCS.parent}:{folder / "links"}', OMP_NUM_THREADS='1')

    def run(*arguments, cwd=folder):
        command = [folder / 'venv' / 'bin' / 'python', *arguments]
        return subprocess.run(list(map(str, command)), cwd=cwd, env=settings, capture_output=True, text=True)

    return run


@pytest.fixture
def images(tmp_path):
    shades = np.random.default_rng(0)
    for number, name in enumerate(('dark', 'light')):
        (tmp_path / 'data' / name).mkdir(parents=True)
        for image in range(8):
            pixels = shades.integers(0, 100, (70, 80, 3)) + 120 * number
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / 'data' / name / f'{image}.png')
    return tmp_path / 'data'


def test_the_example_trains_without_openmmlab(python, images):
    assert len(EXAMPLE.read_text().splitlines()) <= 60
    missing = python(
        '-c', 'from importlib.util import find_spec as f; print(f("mmengine"), f("mmcv"), f("mmpretrain"))'
    )
    assert missing.stdout.split() == ['None'] * 3, missing.stderr
    options = ['--model', 'test_vit', '--img-size', '64', '--mask-scale', '1', '--epochs', '3', '--batch-size', '8']
    result = python(EXAMPLE, images, *options, cwd=images.parent)
    assert result.returncode == 0, result.stderr
    found = re.findall(r'epoch (\d): loss (\d+\.\d+), factor (0\.\d+)', result.stdout)
    assert [epoch for epoch, *_ in found] == ['1', '2', '3']
    state = torch.load(images.parent / 'mixpro.pth')
    timm.create_model('test_vit', num_classes=2, img_size=64).load_state_dict(state)


def test_every_method_and_labeling_can_be_imported_and_called_without_openmmlab(python):
    code = """
import torch, warnings
from mixpro_mm import augments
from mixpro_mm.registry import BATCH_AUGMENTS, register
assert BATCH_AUGMENTS is None
images, labels = torch.rand(4, 3, 96, 96), torch.eye(4)
for name in ('MaskMix', 'MixPro', 'GridMix', 'BlockMix', 'RegionMix', 'SaliencyMix'):
    with warnings.catch_warnings(record=True) as caught:
        mixed, target = getattr(augments, name)()(images, labels)
    assert mixed.shape == images.shape and torch.allclose(target.sum(1), torch.ones(4)), name
    print(name, *[str(warning.message).split(':')[0] for warning in caught])
"""
    result = python('-c', code)
    assert result.returncode == 0, result.stderr
    assert 'MaskMix MaskMix' in result.stdout  # warns of few cells
