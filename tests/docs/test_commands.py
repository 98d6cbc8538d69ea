"""Every command of README and docs is run by a test, or says next to it what it needs.

A shell block is covered in one of four ways, told by the comment right before it or, without one, found here:

- ``<!-- needs: WORDS -->``: data, GPUs or time that a test has not;
- ``<!-- test: FILE::NAME -->``: that test runs it, or the same at a smaller size; the test must exist;
- its ``make`` target is one that continuous integration runs;
- it is in ``RUN`` and is run here, as it stands.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine import registry as root
from mmengine.registry import DefaultScope, Registry
from mmpretrain.registry import BATCH_AUGMENTS

import mixpro_mm.plugin  # noqa: F401
from mixpro_mm.labeling.rules import LABELINGS
from tests.docs.pages import DOCS, ROOT, all_blocks, blocks_of, commands_of

SHELL = all_blocks('bash', 'sh', 'shell', 'console')
PYTHON = all_blocks('python', 'py')
RUN = {  # command -> what it leaves
    'python tools/report.py work_dirs docs/benchmarks': ['work_dirs/report/tables.html', 'work_dirs/report/tables.md'],
    'python tools/report.py work_dirs/evidence --out report --latex': ['report/tables.html', 'report/tables.tex'],
}


def targets_of_ci() -> set[str]:
    """Targets of make that .ci/run asks for, with those they depend on."""
    makefile = (ROOT / 'Makefile').read_text(encoding='utf-8')
    wanted = re.findall(r'^ *make ([\w-]+)', (ROOT / '.ci' / 'run').read_text(encoding='utf-8'), re.MULTILINE)
    found = set()
    while wanted:
        found.add(target := wanted.pop())
        rule = re.search(rf'^{re.escape(target)}:([^\n=]*)$', makefile, re.MULTILINE)
        assert rule, f'.ci/run makes {target}, which the Makefile has not'
        wanted += [name for name in rule[1].split() if name not in found]
    return found


def names_a_test(node: str) -> str | None:
    """What is wrong with FILE::NAME, or None."""
    file, _, name = node.partition('::')
    path = ROOT / file
    if not path.exists():
        return f'there is no {file}'
    if not name:
        return None if any(path.rglob('test_*.py')) else f'{file} holds no tests'
    functions = {each.name for each in ast.walk(ast.parse(path.read_text(encoding='utf-8'))) if hasattr(each, 'name')}
    return None if name in functions else f'{file} has no {name}'


def uncovered(block) -> list[str]:
    """What the commands of a block lack."""
    kind, words = block.mark or (None, '')
    if kind == 'needs':
        return []
    if kind == 'test':
        return [wrong for node in words.replace(',', ' ').split() if (wrong := names_a_test(node))]
    ci = targets_of_ci()
    return [
        f'nothing runs `{command}`, and no comment says what it needs'
        for command in commands_of(block)
        if command not in RUN and not (re.fullmatch(r'make [\w-]+', command) and command.split()[1] in ci)
    ]


@pytest.mark.parametrize('block', SHELL, ids=lambda block: block.place)
def test_every_command_is_run_by_a_test_or_says_what_it_needs(block):
    assert uncovered(block) == []


def test_what_nobody_covers_is_found():
    def lacks(text):
        (block,) = blocks_of(DOCS / 'page.md', text)
        return uncovered(block)

    assert lacks('```bash\npython tools/study.py x.py  # why\n```\n') == [
        'nothing runs `python tools/study.py x.py`, and no comment says what it needs'
    ]
    assert lacks('<!-- needs: data -->\n```bash\npython tools/study.py x.py\n```\n') == []
    assert lacks('<!-- needs: data -->\n\nwords\n\n```bash\nmake study\n```\n') != []  # the comment stands right before
    assert lacks('```bash\nmake test\nmake demo # long\n```\n') == []
    assert lacks('```bash\nmake test SEEDS=3\n```\n') != []
    here = 'tests/docs/test_commands.py'
    assert lacks(f'<!-- test: {here}::test_what_nobody_covers_is_found -->\n```bash\nanything\n```\n') == []
    assert lacks(f'<!-- test: {here}::test_that_is_gone -->\n```bash\nanything\n```\n') == [
        f'{here} has no test_that_is_gone'
    ]
    (block,) = blocks_of(DOCS / 'page.md', '```bash\n# a comment\npython a.py \\\n  --b 1   # another\ncd x\n```\n')
    assert commands_of(block) == ['python a.py --b 1', 'cd x']


@pytest.mark.parametrize('command', RUN)
def test_the_command_runs_as_it_stands(command, tmp_path):
    """In a folder like a checkout, with the results of the evidence page as work_dirs."""
    for name in ('configs', 'docs', 'mixpro_mm', 'tools'):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / 'work_dirs' / 'evidence').mkdir(parents=True)
    shutil.copy(DOCS / 'evidence' / 'results.json', tmp_path / 'work_dirs' / 'evidence')
    path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    done = subprocess.run(
        ['bash', '-c', command], cwd=tmp_path, env=os.environ | dict(PATH=path), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for name in RUN[command]:
        assert (tmp_path / name).stat().st_size > 1000
    assert any(command in commands_of(block) for block in SHELL), 'no page has this command any more'


REGISTRIES = [BATCH_AUGMENTS, *(each for each in vars(root).values() if isinstance(each, Registry))]


def elided(text: str) -> str:
    """Python without the dots that stand for more arguments."""
    return re.sub(r'(?<=[(,\[])\s*\.\.\.\s*(?=[,)\]])', '', re.sub(r',\s*\.\.\.\s*(?=[)\]])', '', text))


def types_in(text: str) -> list[str]:
    """Every ``type='NAME'`` of a call to dict."""
    calls = [node for node in ast.walk(ast.parse(elided(text))) if isinstance(node, ast.Call)]
    keywords = [word for call in calls if getattr(call.func, 'id', '') == 'dict' for word in call.keywords]
    return [word.value.value for word in keywords if word.arg == 'type' and isinstance(word.value, ast.Constant)]


def is_known(name: str) -> bool:
    """Whether some registry of a host or of ours has a class of that name."""
    if name in LABELINGS:
        return True
    for scope in ('mmpretrain', 'mmseg', 'mmdet'):
        with DefaultScope.overwrite_default_scope(scope):
            if any(registry.get(name) for registry in REGISTRIES):
                return True
    return False


@pytest.mark.parametrize('block', PYTHON, ids=lambda block: block.place)
def test_python_in_pages_parses_and_names_what_exists(block, own_method):
    unknown = [name for name in types_in(block.text) if not is_known(name)]
    assert unknown == []


def test_wrong_names_are_found():
    assert types_in("a = dict(b=[dict(type='MixPro', ...)], type='Nothing')") == ['Nothing', 'MixPro']
    assert is_known('MixPro') and is_known('mixpro_mm.MixPro') and is_known('Pretrained')
    assert is_known('mmpretrain.VisionTransformer') and is_known('ProgressiveAttentionLabeling')
    assert not is_known('mixpro_mm.MixPr') and not is_known('MixPr')
