"""What mim search shows: the index against the configs that exist, the paper's numbers and the counted sizes."""

import re
from pathlib import Path

import pytest
from mim.commands.search import convert2df
from modelindex.load_model_index import load

from mixpro_mm.reporting.paper import published_tables

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs'
FILES = dict(baseline='mixup-cutmix', transmix='transmix', mixpro='mixpro')  # a method in the paper, and in file names
TOP1 = 'imagenet-1k/top_1_accuracy'
PAPER = published_tables(CONFIGS)


@pytest.fixture(scope='module')
def index():
    return load(str(ROOT / 'model-index.yml'))


@pytest.fixture(scope='module')
def shown(index):
    """By name of a model, what mim search shows of it."""
    return {name: row.dropna().to_dict() for name, row in convert2df(index).iterrows()}


def numbers(row):
    return {key: value for key, value in row.items() if '/' in key}


def rows_of_table_1():
    for model, row in PAPER['table1'].items():
        for method, files in FILES.items():
            yield f'{model}_{files}_8xb128_in1k', 'table 1', {TOP1: row[method]}


def rows_of_table_3():
    metrics = 'pascal context/miou', 'pascal context/miou(ms)'
    for decoder, row in PAPER['table3'].items():
        for method, values in row.items():
            name = f'{decoder}_{method}_4xb4-80k' if 'deit' in decoder else f'{decoder}_4xb4-40k'
            yield f'{name}_pascal-context-480x480', 'table 3', dict(zip(metrics, values, strict=True))


def rows_of_table_4():
    metrics = [f'coco/{what}_ap{at}' for what in ('box', 'mask') for at in ('', '50', '75')]
    for model, row in PAPER['table4'].items():
        for method, values in row.items():
            name = f'{model}_{method}_1x_coco' if 'pvt' in model else f'{model}_1x_coco'
            yield name, 'table 4', dict(zip(metrics, values, strict=True))


def rows_of_the_ablation():
    for path in (CONFIGS / 'ablation').glob('*.py'):
        table, model, word, _, _ = path.stem.split('_')
        row = PAPER[table].get(word, {})
        top1 = row.get('top1', row.get(model))
        if 'error' in row:
            top1 = pytest.approx(100 - row['error'], abs=1e-9)
        if top1 is not None:
            yield path.stem, re.sub(r'(table|figure)(\w+)', r'\1 \2', table), {TOP1: top1}


def rows_of_the_paper():
    rows = [*rows_of_table_1(), *rows_of_table_3(), *rows_of_table_4(), *rows_of_the_ablation()]
    found = {name: (table, values) for name, table, values in rows}
    assert len(found) == len(rows)
    keys = 'imagenet-a/top_1_accuracy', 'imagenet-a/calibration_error', 'imagenet-a/aurra', 'imagenet-o/aupr'
    for method, files in FILES.items():
        (table, values), name = found[f'deit-small_{files}_8xb128_in1k'], f'deit-small_{files}_8xb128_in1k'
        assert table == 'table 1'
        more = dict(zip(keys, PAPER['table5']['deit-small'][method], strict=True))
        found[name] = 'tables 1 and 5', values | more
    return found


def test_the_index_is_well_formed(index):
    assert index.check(silent=True) == []


def test_every_config_that_runs_is_in_the_index_once_and_nothing_else(index, shown):
    runs = {path.stem: path for path in CONFIGS.rglob('*.py') if '_base_' not in path.parts}
    studies = {name for name, path in runs.items() if path.parent.name == 'study' or name.startswith('study_')}
    assert sorted(model.name for model in index.models) == sorted(runs.keys() - studies)
    assert {name: row['config'] for name, row in shown.items()} == {
        name: path.relative_to(ROOT).as_posix() for name, path in runs.items() if name not in studies
    }


def test_mim_finds_a_config_by_its_name():
    """It takes the first match for a name below the root only if there is no second."""
    names = [path.name for path in CONFIGS.rglob('*.py') if '_base_' not in path.parts and path.parent.name != 'study']
    assert len(set(names)) == len(names)
    others = {path.name for path in CONFIGS.glob('_base_/*.py')} | {path.name for path in ROOT.glob('tools/*.py')}
    assert not others & set(names)
    assert [name for name in names if name != name.lower()] == []  # mim search --config asks in lower case


def test_every_number_is_the_papers_and_says_so(shown):
    expected = rows_of_the_paper()
    assert {name: numbers(row) for name, row in shown.items() if numbers(row)} == {
        name: values for name, (_, values) in expected.items()
    }
    for name, row in shown.items():
        if name in expected:
            assert row['numbers'] == f'{expected[name][0]} of the paper: not measured here'
        else:
            assert 'numbers' not in row


def test_parameters_and_flops_are_those_counted(shown):
    table = (ROOT / 'docs' / 'models.md').read_text(encoding='utf-8')
    counted = {}
    for config, parameters, gmacs in re.findall(
        r'\| (\S+)_mixup-cutmix_\S+ \| ([\d,]+) \| [^|]+ \| ([\d.]+) \|', table
    ):
        counted[config] = int(parameters.replace(',', '')), round(float(gmacs) * 1e9)
    assert counted.keys() == PAPER['table1'].keys()
    sizes = {name: (row['parameters'], row['flops']) for name, row in shown.items() if 'flops' in row}
    assert sizes == {
        f'{model}_{files}_8xb128_in1k': size for model, size in counted.items() for files in FILES.values()
    }


def test_data_and_collection_go_with_the_place_of_a_config(shown):
    data = dict(pretrain='imagenet-1k', ablation='imagenet-1k', segmentation='pascal context', detection='coco')
    for name, row in shown.items():
        folder = row['config'].split('/')[1]
        at_hand = 'digits' if folder in ('digits', 'robustness') and 'digit-scenes' not in name else 'digit scenes'
        wanted = 'imagenet-1k' if folder == 'robustness' and '-micro' not in name else data.get(folder, at_hand)
        assert row['training_data'] == wanted
        for word in ('transmix', 'mixpro', 'smmix'):
            if folder in ('pretrain', 'segmentation', 'detection'):
                assert (row['model'] == word) == (word in re.split('[_-]', name))


def test_weights_are_none_in_words_that_let_mim_fetch_the_config(shown):
    """mim takes what follows the last slash of each part between commas for a file: here for the folder itself."""
    for row in shown.values():
        assert row['weight'].startswith('none published')
        assert [part.split('/')[-1] for part in row['weight'].split(',')] == ['']
