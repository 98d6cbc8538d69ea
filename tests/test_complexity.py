"""docs/models.md: what tools/complexity.py counts, beside Table 1 of the paper."""

import runpy
from pathlib import Path

import pytest
from mmengine.config import Config

from tests.config_rows import CONFIGS, read

ROOT = Path(__file__).parents[1]
PUBLISHED = Config.fromfile(CONFIGS / '_base_' / 'paper.py').table1.to_dict()
PAGE = (ROOT / 'docs' / 'models.md').read_text(encoding='utf-8').splitlines()
count = runpy.run_path(str(ROOT / 'tools' / 'complexity.py'))['count']


@pytest.mark.parametrize('model', PUBLISHED)
def test_models_have_the_size_and_cost_of_table_1_and_the_page_says_so(model):
    name, paper = f'{model}_mixup-cutmix_8xb128_in1k.py', PUBLISHED[model]
    parameters, macs = count(read(CONFIGS / 'pretrain' / name))
    digits = len(str(paper['params']).partition('.')[2])
    assert round(parameters / 1e6, digits) == paper['params']
    if model == 'deit-tiny':  # a slip of the paper: 1.25 G with patches of 16 px, 1.70 with 14
        assert macs / 1e9 == pytest.approx(1.25, abs=0.01)
    else:
        assert macs / 1e9 == pytest.approx(paper['gflops'], rel=0.03)
    cells = paper['name'], name, f'{parameters:,}', f'{paper["params"]} M', f'{macs / 1e9:.3f}', f'{paper["gflops"]} G'
    difference = f'{100 * (macs / 1e9 / paper["gflops"] - 1):+.1f} %'
    assert f'| {" | ".join(cells)} | {difference} |' in PAGE


def test_multiply_adds_are_those_worked_out_by_hand():
    """Two blocks of width 8 on 196 patches of 16 px and a class token; a head of 3 classes."""
    arch = dict(embed_dims=8, num_layers=2, num_heads=2, feedforward_channels=20)
    head = dict(type='VisionTransformerClsHead', num_classes=3, in_channels=8)
    backbone = dict(type='VisionTransformer', arch=arch, img_size=224, patch_size=16)
    parameters, macs = count(Config(dict(model=dict(type='ImageClassifier', backbone=backbone, head=head))))
    patches, tokens = 196 * (3 * 16 * 16) * 8, 197
    projections = tokens * 8 * (3 * 8) + tokens * 8 * 8
    attention = 2 * tokens * tokens * 8  # q k^T and its product with v, over both heads
    mlp = 2 * tokens * 8 * 20
    assert macs == patches + 2 * (projections + attention + mlp) + 8 * 3
    block = 2 * 2 * 8 + (8 * 24 + 24) + (8 * 8 + 8) + (8 * 20 + 20) + (20 * 8 + 8)
    assert parameters == (3 * 256 * 8 + 8) + 8 + tokens * 8 + 2 * block + 2 * 8 + (8 * 3 + 3)
