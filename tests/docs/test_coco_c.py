"""mmdet's test of detectors under corruptions, with the example config on digit scenes."""

import os
import subprocess
import sys
from pathlib import Path

import mmdet
import torch
from mmengine.config import Config
from mmengine.fileio import load
from mmengine.registry import MODELS, DefaultScope

from mixpro_mm.datasets.digit_scenes import write_digit_scenes
from tests.docs.pages import DOCS, ROOT

MIM = Path(mmdet.__path__[0]) / '.mim'


def test_a_detector_is_tested_under_corruptions(tmp_path):
    scenes = write_digit_scenes(tmp_path / 'scenes', 2, 3) / 'coco'
    text = (DOCS / 'examples' / 'coco_c.py').read_text(encoding='utf-8')
    base = ROOT / 'configs' / 'digits' / 'mask-rcnn_pvt-micro_mixpro_digit-scenes.py'
    text = text.replace('../../configs/detection/mask-rcnn_pvt-small_mixpro_1x_coco.py', str(base))
    annotations = f'{scenes}/annotations/instances_val2017.json'
    text += f'test_dataloader = dict(dataset=dict(data_root={str(scenes) + "/"!r}))\n'
    text += f'test_evaluator = dict(ann_file={annotations!r})\n'
    (tmp_path / 'mine.py').write_text(text, encoding='utf-8')
    config = Config.fromfile(tmp_path / 'mine.py')
    config.model.backbone.pop('init_cfg')
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(config.model)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'detector.pth')
    command = [sys.executable, str(MIM / 'tools/analysis_tools/test_robustness.py'), 'mine.py', 'detector.pth']
    command += [
        '--out',
        'coco_c.pkl',
        '--work-dir',
        'out',
        '--corruptions',
        'contrast',
        'fog',
        '--severities',
        '0',
        '3',
    ]
    paths = dict(PYTHONPATH=os.pathsep.join([str(MIM), str(ROOT)]))
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | paths, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and 'Mean Performance under Corruption [mPC] (bbox)' in done.stdout, done.stderr
    results = load(tmp_path / 'coco_c_results.pkl')
    assert {name: set(each) for name, each in results.items()} == dict(contrast={0, 3}, fog={0, 3})
    assert results['fog'][3].keys() == results['fog'][0].keys() >= {'coco/bbox_mAP', 'coco/segm_mAP'}
