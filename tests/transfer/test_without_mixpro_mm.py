"""Inference without mixpro_mm (docs/hand_over.md), in processes that cannot import it."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from mmengine.config import Config

from tests.config_rows import CONFIGS

DIGITS = CONFIGS / 'digits'
IMAGE = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
CHILD = """
import json, sys
import numpy as np
sys.modules['mixpro_mm'] = None
from mmpretrain import ImageClassificationInferencer

found = ImageClassificationInferencer('config.py', 'a.pth', train_cfg=None)(np.load('image.npy'))
try:
    ImageClassificationInferencer('config.py', 'a.pth')
except KeyError as error:
    json.dump([found[0]['pred_scores'].tolist(), str(error)], open('found.json', 'w'))
"""


@pytest.mark.long
def test_a_segmenter_is_built():
    config = DIGITS / 'segmenter_deit-micro_mixpro_digit-scenes.py'
    code = "import sys; sys.modules['mixpro_mm'] = None; from mmseg.apis import init_model; init_model"
    subprocess.run([sys.executable, '-c', f"{code}('{config}', device='cpu')"], check=True)


def test_a_classifier_is_built_without_train_cfg(tmp_path, monkeypatch):
    from mmpretrain import ImageClassificationInferencer, get_model

    monkeypatch.chdir(tmp_path)
    config = Config.fromfile(DIGITS / 'deit-micro_mixpro_digits.py')
    config.dump('config.py')
    torch.manual_seed(0)
    meta = dict(dataset_meta=dict(classes=list('0123456789')))
    torch.save(dict(state_dict=get_model(config).state_dict(), meta=meta), 'a.pth')
    np.save('image.npy', IMAGE)
    subprocess.run([sys.executable, '-c', CHILD], check=True)
    scores, error = json.loads((tmp_path / 'found.json').read_text())
    with_all = ImageClassificationInferencer('config.py', 'a.pth')(IMAGE)
    assert scores == pytest.approx(with_all[0]['pred_scores'].tolist(), abs=1e-6)
    assert 'mixpro_mm.MixPro is not in' in error
