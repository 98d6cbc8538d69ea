"""docs/development/models.md: what tools/complexity.py counts, beside Table 1 of the paper."""

import runpy
from pathlib import Path

import pytest
from mmengine.config import Config

from tests.config_rows import CONFIGS, read

ROOT = Path(__file__).parents[1]
PUBLISHED = Config.fromfile(CONFIGS / '_base_' / 'paper.py').table1.to_dict()
PAGE = (ROOT / 'docs' / 'development' / 'models.md').read_text(encoding='utf-8').splitlines()
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
