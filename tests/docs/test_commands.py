"""Every command in README and docs is run by a test, or a comment before it names what it needs.

A shell block is covered in one of three ways:

- ``<!-- needs: WORDS -->``: data, GPUs or time that a test does not have;
- ``<!-- test: FILE::NAME -->`` or ``FILE``: an existing test runs it, perhaps at a smaller size;
- it is a ``make`` target that continuous integration runs.
"""

import re

import pytest
from mmengine import registry as root
from mmengine.registry import DefaultScope, Registry
from mmpretrain.registry import BATCH_AUGMENTS

import mixpro_mm.plugin  # noqa: F401
from mixpro_mm.labeling.rules import LABELINGS
from tests.docs.pages import ROOT, all_blocks, commands_of

REGISTRIES = [BATCH_AUGMENTS, *(each for each in vars(root).values() if isinstance(each, Registry))]


def targets_of_ci() -> set[str]:
    """Return the make targets in .ci/run and those they depend on."""
    wanted = re.findall(r'^ *make ([\w-]+)', (ROOT / '.ci' / 'run').read_text(encoding='utf-8'), re.MULTILINE)
    rules = re.findall(r'^([\w-]+):([^\n=]*)$', (ROOT / 'Makefile').read_text(encoding='utf-8'), re.MULTILINE)
    return {*wanted, *(other for target, others in rules if target in wanted for other in others.split())}


def has_test(node: str) -> bool:
    """Return whether FILE, or FILE::NAME, exists."""
    file, _, name = node.partition('::')
    return (ROOT / file).is_file() and (not name or f'def {name}(' in (ROOT / file).read_text(encoding='utf-8'))


def uncovered(block) -> list[str]:
    """Return the commands without a cover and the tests that do not exist."""
    kind, words = block.mark or (None, '')
    if kind == 'needs':
        return []
    if kind == 'test':
        return [node for node in words.replace(',', ' ').split() if not has_test(node)]
    run = {f'make {target}' for target in targets_of_ci()}
    return [command for command in commands_of(block) if command not in run]


@pytest.mark.parametrize('block', all_blocks('bash', 'sh', 'shell', 'console'), ids=lambda block: block.place)
def test_every_command_is_run_by_a_test_or_says_what_it_needs(block):
    assert uncovered(block) == []


def is_known(name: str) -> bool:
    for scope in ('mmpretrain', 'mmseg', 'mmdet'):
        with DefaultScope.overwrite_default_scope(scope):
            if name in LABELINGS or any(registry.get(name) for registry in REGISTRIES):
                return True
    return False


@pytest.mark.parametrize('block', all_blocks('python', 'py'), ids=lambda block: block.place)
def test_python_in_pages_names_registered_types(block, own_method):
    assert [name for name in re.findall(r"\btype='([\w.]+)'", block.text) if not is_known(name)] == []
