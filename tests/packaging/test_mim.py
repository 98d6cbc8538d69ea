"""What tools/train.py and tools/test.py do before a toolkit's own script takes over, and how they hand over to it."""

import ast
import json
import sys
from pathlib import Path

import pytest

import mixpro_mm.cli as mim
from mixpro_mm.cli import host_script, main, scope_of
from mixpro_mm.utils.configs import find_config, with_paths

CONFIGS = Path(__file__).parents[2] / 'configs'
NAME = 'deit-small_mixpro_8xb128_in1k.py'
SCRIPT = "import json, sys\nif __name__ == '__main__':\n    json.dump([sys.argv, sys.path[0]], open('ran.json', 'w'))\n"


@pytest.fixture
def toolkit(tmp_path, monkeypatch):
    """A toolkit that ``CONFIG.py`` is for; its scripts note what they are given. All from an empty directory."""
    tools = tmp_path / 'site' / 'some_toolkit' / '.mim' / 'tools'
    tools.mkdir(parents=True)
    (tools.parents[1] / '__init__.py').write_text("raise ImportError('not needed to find its scripts')")
    (tools / 'train.py').write_text(SCRIPT)
    (tools / 'test.py').write_text('import sys\nsys.exit(7)\n')
    monkeypatch.setitem(mim.HOSTS, 'some_toolkit', 'some-toolkit')
    monkeypatch.setattr(sys, 'path', ['tools', str(tmp_path / 'site'), *sys.path[1:]])
    monkeypatch.setattr(sys, 'argv', ['train.py'])
    (tmp_path / 'empty').mkdir()
    monkeypatch.chdir(tmp_path / 'empty')
    (tmp_path / 'CONFIG.py').write_text("default_scope = 'some_toolkit'\n")
    return tools


@pytest.mark.parametrize(
    'arguments',
    [
        ['CONFIG', '--launcher', 'none', '--cfg-options', 'a.b=1', 'c=[(1,2)]'],  # as mim has it
        ['--local-rank=1', 'CONFIG', '--launcher', 'pytorch'],  # as torch.distributed.launch has it
        ['--local_rank=1', 'CONFIG', '--resume'],  # as it had it before torch 2
        ['--work-dir', 'out', 'CONFIG'],  # by hand
        ['CONFIG', '--help'],
        ['--out', 'r.json', 'CONFIG'],
        ['--out=r.json', '--work-dir', 'v1.py', 'CONFIG', '--out-item', 'metrics'],
        ['--w', 'out', 'CONFIG'],  # an abbreviation that options of two scripts share
        ['--work', 'a.yaml', '--show-dir', 'b.py', '--show', 'CONFIG', 'epoch.pth'],
        ['--launcher', 'none', '--cfg-options', 'a=b.py', '_base_.c=d.json', '--amp', 'CONFIG', '--resume', 'e.pth'],
        ['--resume', 'CONFIG', '--cfg-options', 'load_from=x.py'],  # a flag in mmseg
        ['--resume', 'e.pth', 'CONFIG'],  # and takes a file elsewhere
        ['--interval', '2', '--wait-time', '1', '--local_rank', '0', 'CONFIG', 'c.json'],
    ],
)
def test_a_toolkits_script_gets_every_argument_in_its_place(toolkit, tmp_path, arguments):
    given = [str(tmp_path / 'CONFIG.py') if word == 'CONFIG' else word for word in arguments]
    assert main('train', given) == 0
    assert json.loads(Path('ran.json').read_text()) == [[str(toolkit / 'train.py'), *given], str(toolkit)]


def test_the_exit_code_is_that_of_the_script(toolkit, tmp_path):
    with pytest.raises(SystemExit) as leaving:
        main('test', [str(tmp_path / 'CONFIG.py'), 'checkpoint.pth'])
    assert leaving.value.code == 7


def test_arguments_are_those_of_the_process_if_none_are_given(toolkit, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['train.py', str(tmp_path / 'CONFIG.py'), '--amp'])
    assert main('train') == 0
    assert json.loads(Path('ran.json').read_text())[0][1:] == [str(tmp_path / 'CONFIG.py'), '--amp']


def test_help_names_no_option_that_mim_would_take_up(capsys):
    """mim asks for it before each run, and adds --gpus N to the command where it reads of one."""
    assert main('train', ['-h']) == 0
    said = capsys.readouterr().out
    assert said.startswith('usage: python tools/train.py CONFIG')
    assert '--gpus' not in said


@pytest.mark.parametrize(
    ('content', 'sentence'),
    [
        ('model = dict()\n', 'has no default_scope; mixpro_mm can run configs of mmpretrain, mmseg, mmdet'),
        ("default_scope = 'mmpose'\n", "has default_scope 'mmpose'; mixpro_mm can run configs of mmpretrain"),
        ('1 / 0\n', 'cannot be read: ZeroDivisionError'),
        ("_base_ = 'nowhere.py'\n", 'cannot be read: FileNotFoundError'),
    ],
)
def test_a_config_for_no_known_toolkit_is_refused_in_one_sentence(tmp_path, capsys, content, sentence):
    path = tmp_path / 'odd.py'
    path.write_text(content)
    assert main('train', [str(path), '--launcher', 'none']) == 2
    said = capsys.readouterr()
    assert said.out == ''
    assert len(said.err.splitlines()) == 1
    assert said.err.startswith(f'{path} {sentence}')


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        ([], 'tools/test.py needs a config: python tools/test.py CONFIG [arguments]'),
        (['--launcher', 'none'], 'tools/test.py needs a config: python tools/test.py CONFIG [arguments]'),
        (['--out', 'r.json'], 'tools/test.py needs a config: python tools/test.py CONFIG [arguments]'),
        (['no-such_config.py'], 'there is no config at no-such_config.py and none with this name in mixpro_mm'),
    ],
)
def test_without_a_config_it_says_so(capsys, arguments, sentence):
    assert main('test', arguments) == 2
    assert capsys.readouterr().err == f'{sentence}\n'


def test_scopes_of_our_own_configs():
    scopes = dict(
        mmpretrain=('pretrain/deit-small_mixpro_8xb128_in1k.py', 'robustness/deit-small_imagenet-a.py'),
        mmseg=('segmentation/segmenter_deit-small_mixpro_4xb4-80k_pascal-context-480x480.py',),
        mmdet=('detection/mask-rcnn_pvt-small_mixpro_1x_coco.py',),
    )
    for scope, paths in scopes.items():
        assert {scope_of(CONFIGS / path) for path in paths} == {scope}


@pytest.mark.parametrize('scope', ['mmpretrain', 'mmseg', 'mmdet'])
@pytest.mark.parametrize('script', ['train', 'test'])
def test_the_toolkits_bring_their_scripts(scope, script):
    path = host_script(scope, script)
    assert path.parts[-4:] == (scope, '.mim', 'tools', f'{script}.py')
    assert '--launcher' in path.read_text()


@pytest.mark.parametrize('scope', ['mmpretrain', 'mmseg', 'mmdet'])
@pytest.mark.parametrize('script', ['train', 'test'])
def test_options_of_the_toolkits_that_take_a_value_are_known(scope, script):
    calls = [node for node in ast.walk(ast.parse(host_script(scope, script).read_text())) if isinstance(node, ast.Call)]
    added = [call for call in calls if getattr(call.func, 'attr', '') == 'add_argument']
    taking = set()
    for call in added:
        settings = {keyword.arg: getattr(keyword.value, 'value', None) for keyword in call.keywords}
        if settings.get('action') != 'store_true' and not settings.get('nargs'):
            taking |= {name.value.removeprefix('--') for name in call.args if name.value.startswith('--')}
    assert taking and taking <= set(mim.WITH_VALUE)
    several = [call.args[0].value for call in added if any(keyword.arg == 'nargs' for keyword in call.keywords)]
    assert set(several) <= {'--cfg-options', '--resume'}


def test_scripts_of_a_toolkit_installed_from_its_checkout(toolkit):
    (toolkit.parents[2] / 'tools').mkdir()
    beside = toolkit.parents[2] / 'tools' / 'train.py'
    beside.write_text(SCRIPT)
    assert host_script('some_toolkit', 'train') == toolkit / 'train.py'
    (toolkit / 'train.py').unlink()
    assert host_script('some_toolkit', 'train') == beside
    beside.unlink()
    with pytest.raises(
        FileNotFoundError, match=r'was installed without \.mim/tools/train\.py: install some-toolkit anew'
    ):
        host_script('some_toolkit', 'train')


def test_a_toolkit_that_is_not_there(monkeypatch):
    monkeypatch.setitem(mim.HOSTS, 'no_toolkit', 'no-toolkit')
    with pytest.raises(FileNotFoundError, match='for no_toolkit, which is not installed: mim install no-toolkit'):
        host_script('no_toolkit', 'train')


def test_a_config_is_a_path_first_and_then_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config(NAME) == CONFIGS / 'pretrain' / NAME
    Path(NAME).write_text('')
    assert find_config(NAME) == Path(NAME)


@pytest.mark.parametrize('folder', ['no/such/dir', 'configs/pretrain', '.', '/nowhere'])
def test_a_path_that_is_not_there_is_no_name(folder, tmp_path, monkeypatch, capsys):
    """A slip in a path must not train another file."""
    monkeypatch.chdir(tmp_path)
    path = f'{folder}/{NAME}'
    assert main('train', [path]) == 2
    sentence = f'there is no config at {path}; for that of mixpro_mm give the name alone: {NAME}'
    assert capsys.readouterr().err == f'{sentence}\n'
    assert with_paths([path]) == [path]  # the tool says it in its own words


def test_a_config_that_is_not_there_has_neighbours(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=f'similar names:  .*{NAME}'):
        find_config('deit-small_mixpr_8xb128_in1k.py')
    with pytest.raises(FileNotFoundError, match=r'there is no config at deit_in1k\.py'):
        find_config('deit_in1k.py')  # a part, not one to run


def test_two_configs_of_one_name_are_both_named(tmp_path, monkeypatch):
    for folder in ('a', 'b'):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / 'same.py').touch()
    monkeypatch.setattr(mim, 'find_configs', lambda: tmp_path)
    with pytest.raises(ValueError, match=r'2 configs named same\.py; give the path: .+same\.py, .+same\.py$'):
        find_config('same.py')


def test_names_among_the_arguments_of_a_tool_become_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('mine.py').touch()
    given = ['mixed', NAME, '--out', 'mine.py', 'unknown.py', f'--config={NAME}', NAME.removesuffix('.py')]
    assert with_paths(given) == ['mixed', str(CONFIGS / 'pretrain' / NAME), *given[2:]]
    assert given[1] == NAME
