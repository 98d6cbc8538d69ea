"""Index of mim search: all configs, with the numbers of the paper."""

from pathlib import Path

import pytest
from mim.commands.search import convert2df
from modelindex.load_model_index import load

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs'


@pytest.fixture(scope='module')
def index():
    return load(str(ROOT / 'model-index.yml'))


@pytest.fixture(scope='module')
def shown(index):
    return {name: row.dropna().to_dict() for name, row in convert2df(index).iterrows()}


def test_the_index_has_every_config_once(index, shown):
    assert index.check(silent=True) == []
    runs = {path.stem: path for path in CONFIGS.rglob('*.py') if '_base_' not in path.parts}
    runs = {name: path for name, path in runs.items() if path.parent.name != 'study' and not name.startswith('study_')}
    assert sorted(model.name for model in index.models) == sorted(runs)
    assert {name: row['config'] for name, row in shown.items()} == {
        name: path.relative_to(ROOT).as_posix() for name, path in runs.items()
    }


def test_mim_finds_a_config_by_its_name():
    """mim requires unique names, and mim search --config converts them to lower case."""
    names = [path.name for path in CONFIGS.rglob('*.py') if '_base_' not in path.parts and path.parent.name != 'study']
    others = {path.name for path in CONFIGS.glob('_base_/*.py')} | {path.name for path in ROOT.glob('tools/*.py')}
    assert len({name.lower() for name in names} - others) == len(names)
    assert all(name == name.lower() for name in names)


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        (
            'deit-small_mixpro_8xb128_in1k',
            {
                'imagenet-1k/top_1_accuracy': 81.3, 'imagenet-a/top_1_accuracy': 22.4, 'imagenet-o/aupr': 23.1,
                'imagenet-a/calibration_error': 30.3, 'imagenet-a/aurra': 32.4, 'model': 'mixpro',
                'numbers': 'table 1, table 2, table 5, table 6, figure 5 of the paper: not measured here',
                'parameters': 22_050_664, 'flops': 4_599_000_000, 'training_data': 'imagenet-1k',
            },
        ),
        (
            'mask-rcnn_r50_1x_coco',
            {
                **{f'coco/box_ap{at}': value for at, value in {'': 38.0, '50': 58.6, '75': 41.4}.items()},
                **{f'coco/mask_ap{at}': value for at, value in {'': 34.4, '50': 55.1, '75': 36.7}.items()},
                'model': 'mask r-cnn', 'training_data': 'coco',
            },
        ),
        (
            'segmenter_deit-small_transmix_4xb4-80k_pascal-context-480x480',
            {'pascal context/miou': 50.6, 'pascal context/miou(ms)': 51.2, 'model': 'transmix'},
        ),
    ],
)  # fmt: skip
def test_models_have_the_numbers_of_the_paper_only(name, expected, shown):
    row = shown[name]
    assert {key: row[key] for key in expected} == expected
    assert {key for key in row if '/' in key} == {key for key in expected if '/' in key}
    # mim takes the part after the last slash as a file name; without one it downloads the config only
    assert row['weight'].startswith('none published')
    assert [part.split('/')[-1] for part in row['weight'].split(',')] == ['']
