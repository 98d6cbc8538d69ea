from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mixpro_mm.visualize import paper

DIGITS = Path(__file__).parents[2] / 'configs' / 'digits'


@pytest.fixture
def drawn(monkeypatch):
    """Every figure as it is written."""
    seen = []
    write = paper.write_figure
    monkeypatch.setattr(paper, 'write_figure', lambda figure, *args: seen.append(figure) or write(figure, *args))
    return seen


@pytest.fixture
def config_file(tmp_path):
    """Writes a config on the digits."""

    def write(name, delta='', base='deit-micro_mixpro_digits.py', folder=tmp_path):
        path = folder / f'{name}.py'
        path.write_text(f"_base_ = '{DIGITS / base}'\n{delta}\n")
        return str(path)

    return write


@pytest.fixture
def digits(config_file, tmp_path):
    """Writes a config on the digits, and a checkpoint of random weights that fits it."""

    def write(name, *args, folder=tmp_path, **kwargs):
        path = config_file(name, *args, folder=folder, **kwargs)
        config = Config.fromfile(path)
        init_default_scope(config.default_scope)
        torch.manual_seed(len(name))
        model = MODELS.build(config.model | dict(data_preprocessor=config.data_preprocessor))
        for parameter in model.parameters():  # some start at zero, as the head does: nothing to tell classes by
            torch.nn.init.normal_(parameter, std=0.2)
        torch.save(dict(state_dict=model.state_dict()), folder / f'{name}.pth')
        return path, str(folder / f'{name}.pth')

    return write
