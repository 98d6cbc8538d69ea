"""Imports point down the list of subpackages only, read from every import statement; imports in new processes."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mixpro_mm

ROOT = Path(mixpro_mm.__file__).parent
LAYERS = (  # from the top; a subpackage imports from itself and from those after it
    'doctor', 'benchmark', 'study', 'report', 'hooks', 'evaluation', 'transfer', 'datasets', 'augments', 'labeling',
    'models', 'functional', 'utils',
)  # fmt: skip
TOP = ('cli', 'plugin', 'registry', 'version')  # the only modules outside subpackages; they may import all
FROM_ANYWHERE = ('registry', 'version')
TORCH_ONLY = ('functional', 'labeling')
MODULES = {
    '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__'): path
    for path in sorted(ROOT.rglob('*.py'))
    if '.mim' not in path.parts and path != ROOT / '__init__.py'
}


def statements(node, into_functions=True):
    """Import statements below a node, with or without those inside functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif into_functions or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from statements(child, into_functions)


def imports(source, into_functions=True):
    """Dotted names a module imports; ``from a import b`` counts as ``a.b``. Relative imports are not used."""
    for node in statements(ast.parse(source), into_functions):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        else:
            assert node.level == 0, f'relative import: {ast.unparse(node)}'
            yield from (f'{node.module}.{alias.name}' for alias in node.names)


def upward(module, source):
    """Imports of ``module`` that point up."""
    own = module.split('.')[0]
    below = TOP + LAYERS if own in TOP else (*FROM_ANYWHERE, *LAYERS[LAYERS.index(own) :])
    ours = [name.split('.')[1] for name in imports(source) if name.startswith('mixpro_mm.')]
    return [name for name in ours if name not in (*below, '__version__')]


@pytest.mark.parametrize('module', MODULES)
def test_modules_are_short_and_their_imports_point_down(module):
    source = MODULES[module].read_text(encoding='utf-8')
    assert len(source.splitlines()) <= 300
    assert module.split('.')[0] in TOP + LAYERS, 'every module belongs to a subpackage'
    assert upward(module, source) == []
    tops = {name.split('.')[0] for name in imports(source, into_functions=False)}
    assert not tops & {'mmseg', 'mmdet'}, 'import them inside functions, because they are optional'
    if module.split('.')[0] in TORCH_ONLY:
        assert not [name for name in imports(source) if name.startswith(('mm', 'mixpro_mm.registry'))]


REPORT = '; import sys; print(*sorted({name.partition(".")[0] for name in sys.modules}))'


def printed(code):
    return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True, timeout=120).stdout


def test_the_package_imports_nothing_else():
    before, after = (set(printed(code + REPORT).split()) for code in ('pass', 'import mixpro_mm'))
    assert after - before == {'mixpro_mm'}  # no torch, no numpy, no mm* package


def test_functional_and_labeling_need_torch_only():
    after = set(printed(f'import mixpro_mm.functional, mixpro_mm.labeling{REPORT}').split())
    assert {'mixpro_mm', 'torch'} <= after
    assert not after & {'mmengine', 'mmcv', 'mmpretrain', 'mmseg', 'mmdet', 'timm', 'matplotlib', 'cv2'}


def test_debug_messages_of_the_toolkits_on_import_are_not_printed():
    code = """
import mixpro_mm.utils.host_prints, mmpretrain.datasets, logging
from mmengine.logging import print_log
print_log('gone', level=logging.DEBUG)
print_log('kept', level=logging.WARNING)"""
    assert printed(code) == 'kept\n'
