"""Inference without mixpro_mm (docs/hand_over.md); run as a script, this file is a process that cannot import it."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

CONFIGS = Path(__file__).parents[2] / 'configs'
MIXED = 'deit-micro_mixpro_digits.py'
SMOOTH = dict(type='LabelSmoothLoss', label_smooth_val=0.1)
LEARNED = {'model.head.loss': dict(_delete_=True, type='mixpro_mm.LearnableFactor', loss=SMOOTH)}
OWN_LOSS = dict(head=dict(loss=dict(_delete_=True, type='CrossEntropyLoss')))
IMAGE = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)


def open_without(folder, more):
    """Write the scores of an image, and the error message with train_cfg."""
    sys.modules['mixpro_mm'] = None
    from mmpretrain import ImageClassificationInferencer

    found = ImageClassificationInferencer(f'{folder}/config.py', f'{folder}/a.pth', train_cfg=None, **more)(IMAGE)
    try:
        ImageClassificationInferencer(f'{folder}/config.py', f'{folder}/a.pth')
    except KeyError as error:
        (folder / 'found.json').write_text(json.dumps([found[0]['pred_scores'].tolist(), str(error)]))


@pytest.mark.long
def test_a_segmenter_is_built():
    config = CONFIGS / 'digits' / 'segmenter_deit-micro_mixpro_digit-scenes.py'
    subprocess.run([sys.executable, __file__, config], check=True)


@pytest.mark.parametrize('options, more', [({}, {}), pytest.param(LEARNED, OWN_LOSS, marks=pytest.mark.long)])
def test_a_classifier_is_built_without_train_cfg(tmp_path, options, more):
    from mmpretrain import ImageClassificationInferencer, get_model

    config = Config.fromfile(CONFIGS / 'digits' / MIXED)
    config.merge_from_dict(copy.deepcopy(options))
    config.dump(tmp_path / 'config.py')
    torch.manual_seed(0)
    content = dict(state_dict=get_model(config).state_dict(), meta=dict(dataset_meta=dict(classes=list('0123456789'))))
    torch.save(content, tmp_path / 'a.pth')
    with_all = ImageClassificationInferencer(str(tmp_path / 'config.py'), str(tmp_path / 'a.pth'))(IMAGE)
    subprocess.run([sys.executable, __file__, tmp_path, json.dumps(more)], check=True)
    scores, error = json.loads((tmp_path / 'found.json').read_text())
    assert scores == pytest.approx(with_all[0]['pred_scores'].tolist(), abs=1e-6)
    assert 'mixpro_mm.MixPro is not in' in error


if __name__ == '__main__':
    if len(sys.argv) > 2:
        open_without(Path(sys.argv[1]), json.loads(sys.argv[2]))
    else:
        sys.modules['mixpro_mm'] = None
        from mmseg.apis import init_model

        init_model(sys.argv[1], device='cpu')
