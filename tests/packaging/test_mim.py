"""tools/train.py and tools/test.py, which call the scripts of the toolkits."""

import ast
import json
import re
import sys
from pathlib import Path

import pytest

import mixpro_mm.cli as mim
from mixpro_mm.cli import main, scope_of, toolkit_script
from mixpro_mm.utils.configs import find_config, with_paths

CONFIGS = Path(__file__).parents[2] / 'configs'
NAME = 'deit-small_mixpro_8xb128_in1k.py'
SCRIPT = "import json, sys\nif __name__ == '__main__':\n    json.dump([sys.argv, sys.path[0]], open('ran.json', 'w'))\n"


@pytest.fixture
def toolkit(tmp_path, monkeypatch):
    """Create a toolkit with scripts that write their arguments, and a config for it."""
    tools = tmp_path / 'site' / 'some_toolkit' / '.mim' / 'tools'
    tools.mkdir(parents=True)
    (tools.parents[1] / '__init__.py').write_text("raise ImportError('not imported')")
    (tools / 'train.py').write_text(SCRIPT)
    (tools / 'test.py').write_text('import sys\nsys.exit(7)\n')
    monkeypatch.setitem(mim.TOOLKITS, 'some_toolkit', 'some-toolkit')
    monkeypatch.setattr(sys, 'path', ['tools', str(tmp_path / 'site'), *sys.path[1:]])
    monkeypatch.setattr(sys, 'argv', ['train.py'])
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'CONFIG.py').write_text("default_scope = 'some_toolkit'\n")
    return tools


@pytest.mark.parametrize(
    'arguments',
    [
        ['CONFIG', '--launcher', 'none', '--cfg-options', 'a.b=1', 'c=[(1,2)]'],  # mim
        ['--local-rank=1', 'CONFIG', '--launcher', 'pytorch'],  # torch.distributed.launch
        ['CONFIG', '--help'],
        ['--out=r.json', '--work-dir', 'v1.py', 'CONFIG', '--out-item', 'metrics'],
        ['--w', 'out', 'CONFIG'],  # an abbreviation
        ['--work', 'a.yaml', '--show-dir', 'b.py', '--show', 'CONFIG', 'epoch.pth'],
        ['--launcher', 'none', '--cfg-options', 'a=b.py', '_base_.c=d.json', '--amp', 'CONFIG', '--resume', 'e.pth'],
        ['--resume', 'CONFIG', '--cfg-options', 'load_from=x.py'],  # a flag in mmseg
    ],
)
def test_a_toolkit_script_gets_all_arguments_in_order(toolkit, tmp_path, arguments):
    given = [str(tmp_path / 'CONFIG.py') if word == 'CONFIG' else word for word in arguments]
    assert main('train', given) == 0
    assert json.loads(Path('ran.json').read_text()) == [[str(toolkit / 'train.py'), *given], str(toolkit)]


def test_exit_code_of_the_script_and_arguments_of_the_process(toolkit, tmp_path, monkeypatch):
    with pytest.raises(SystemExit) as leaving:
        main('test', [str(tmp_path / 'CONFIG.py'), 'checkpoint.pth'])
    assert leaving.value.code == 7
    monkeypatch.setattr(sys, 'argv', ['train.py', str(tmp_path / 'CONFIG.py'), '--amp'])
    assert main('train') == 0
    assert json.loads(Path('ran.json').read_text())[0][1:] == [str(tmp_path / 'CONFIG.py'), '--amp']


def test_help_does_not_name_gpus(capsys):
    """mim adds --gpus N if the help names it."""
    assert main('train', ['-h']) == 0
    said = capsys.readouterr().out
    assert said.startswith('usage: python tools/train.py CONFIG') and '--gpus' not in said


@pytest.mark.parametrize(
    ('arguments', 'content', 'words'),
    [
        (['odd.py', '--launcher', 'none'], 'model = dict()', 'odd.py has no default_scope.*mmpretrain, mmseg, mmdet'),
        (['odd.py'], "default_scope = 'mmpose'", "odd.py.*'mmpose'.*mmpretrain"),
        (['odd.py'], '1 / 0', 'odd.py.*ZeroDivisionError'),
        (['odd.py'], "_base_ = 'nowhere.py'", 'odd.py.*FileNotFoundError'),
        ([], '', 'python tools/train.py CONFIG'),
        (['--out', 'r.json'], '', 'python tools/train.py CONFIG'),
        (['no-such_config.py'], '', 'no-such_config.py'),
        *(([f'{folder}/{NAME}'], '', f'{folder}/{NAME}.*: {NAME}$') for folder in ('no/such/dir', '.', '/nowhere')),
    ],
)
def test_a_config_that_cannot_run_is_reported_in_one_line(tmp_path, monkeypatch, capsys, arguments, content, words):
    """A wrong path must not select another file."""
    monkeypatch.chdir(tmp_path)
    Path('odd.py').write_text(content)
    assert main('train', arguments) == 2
    said = capsys.readouterr()
    assert said.out == '' and len(said.err.splitlines()) == 1 and re.search(words, said.err)


def test_scopes_of_configs():
    scopes = dict(mmpretrain=f'pretrain/{NAME}', mmdet='detection/mask-rcnn_pvt-small_mixpro_1x_coco.py')
    scopes |= dict(mmseg='segmentation/segmenter_deit-small_mixpro_4xb4-80k_pascal-context-480x480.py')
    assert {scope: scope_of(CONFIGS / path) for scope, path in scopes.items()} == {scope: scope for scope in scopes}


@pytest.mark.parametrize('scope', ['mmpretrain', 'mmseg', 'mmdet'])
@pytest.mark.parametrize('script', ['train', 'test'])
def test_options_with_a_value_are_known(scope, script):
    path = toolkit_script(scope, script)
    assert path.parts[-4:] == (scope, '.mim', 'tools', f'{script}.py')
    calls = [ast.unparse(node) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    added = [call for call in calls if '.add_argument(' in call and 'store_true' not in call]
    one = re.findall("'--([a-z_-]+)'", ' '.join(call for call in added if 'nargs' not in call))
    several = re.findall("'--([a-z_-]+)'", ' '.join(call for call in added if 'nargs' in call))
    assert one and set(one) <= set(mim.WITH_VALUE) and set(several) <= {'cfg-options', 'resume'}


def test_scripts_of_a_toolkit_installed_from_its_checkout(toolkit, monkeypatch):
    (toolkit.parents[2] / 'tools').mkdir()
    beside = toolkit.parents[2] / 'tools' / 'train.py'
    beside.write_text(SCRIPT)
    assert toolkit_script('some_toolkit', 'train') == toolkit / 'train.py'
    (toolkit / 'train.py').unlink()
    assert toolkit_script('some_toolkit', 'train') == beside
    beside.unlink()
    monkeypatch.setitem(mim.TOOLKITS, 'no_toolkit', 'no-toolkit')
    for scope, words in (('some_toolkit', r'\.mim/tools/train\.py: .*some-toolkit'), ('no_toolkit', 'mim install no-')):
        with pytest.raises(FileNotFoundError, match=words):
            toolkit_script(scope, 'train')


def test_a_config_is_a_path_or_a_name_also_among_the_arguments_of_a_tool(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config(NAME) == CONFIGS / 'pretrain' / NAME
    for wrong, words in (('deit-small_mixpr_8xb128_in1k.py', NAME), ('deit_in1k.py', 'deit_in1k.py')):  # in _base_
        with pytest.raises(FileNotFoundError, match=words):
            find_config(wrong)
    Path(NAME).write_text('')
    assert find_config(NAME) == Path(NAME)
    Path('mine.py').touch()
    given = ['mixed', NAME, '--out', 'mine.py', 'unknown.py', f'--config={NAME}', NAME.removesuffix('.py')]
    assert with_paths(given) == ['mixed', NAME, *given[2:]]
    Path(NAME).unlink()
    assert with_paths(given) == ['mixed', str(CONFIGS / 'pretrain' / NAME), *given[2:]]
