import json
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

DIGITS = Path(__file__).parents[3] / 'configs' / 'digits'


@pytest.fixture
def drawn(monkeypatch):
    """Collect figures instead of writing them; their files are empty."""
    seen = []
    monkeypatch.setattr(Figure, 'savefig', lambda self, path, **kwargs: seen.append(self) or Path(path).touch())
    return seen


@pytest.fixture
def write_log(tmp_path):
    """Write a log: training lines (step, epoch or None, values), then validations (step, values)."""

    def write(name, train, val=(), stamp='1', tail=''):
        lines = [
            {'iter': step, 'step': step, **({} if epoch is None else {'epoch': epoch}), **v} for step, epoch, v in train
        ]
        lines += [{'step': step, **values} for step, values in val]
        folder = tmp_path / name / stamp / 'vis_data'
        folder.mkdir(parents=True)
        (folder / 'scalars.json').write_text(''.join(json.dumps(line) + '\n' for line in lines) + tail)
        return str(tmp_path / name)

    return write


@pytest.fixture
def config_file(tmp_path):
    """Write a config on the digits."""

    def write(name, delta='', base='deit-micro_mixpro_digits.py', folder=tmp_path):
        path = folder / f'{name}.py'
        path.write_text(f"_base_ = '{DIGITS / base}'\n{delta}\n")
        return str(path)

    return write


@pytest.fixture
def digits(config_file, tmp_path):
    """Write a config on the digits, and a checkpoint with random weights."""

    def write(name, *args, folder=tmp_path, **kwargs):
        path = config_file(name, *args, folder=folder, **kwargs)
        config = Config.fromfile(path)
        init_default_scope(config.default_scope)
        torch.manual_seed(len(name))
        model = MODELS.build(config.model | dict(data_preprocessor=config.data_preprocessor))
        for parameter in model.parameters():  # the head is initialised to zero
            torch.nn.init.normal_(parameter, std=0.2)
        torch.save(dict(state_dict=model.state_dict()), folder / f'{name}.pth')
        return path, str(folder / f'{name}.pth')

    return write
