"""Imports point down only: the floors of the package, read from its import statements."""

import ast
from pathlib import Path

import pytest

import mixpro_mm

ROOT = Path(mixpro_mm.__file__).parent
FLOORS = {
    'mixpro_mm': 0,  # __init__, imported by all
    'mixpro_mm.version': 0,
    'mixpro_mm.registry': 0,
    'mixpro_mm.files': 0,
    'mixpro_mm.foreign': 0,
    'mixpro_mm.checkpoint': 0,
    'mixpro_mm.clock': 0,
    'mixpro_mm.measures': 0,
    'mixpro_mm.anatomy': 0,
    'mixpro_mm.arguments': 0,
    'mixpro_mm.config_walk': 0,
    'mixpro_mm.differences': 0,
    'mixpro_mm.wrapped': 0,
    'mixpro_mm.ranks': 0,
    'mixpro_mm.host_prints': 0,
    'mixpro_mm.mixing': 0,
    'mixpro_mm.labeling.lam': 0,
    'mixpro_mm.labeling.rules': 1,
    'mixpro_mm.labeling': 1,
    'mixpro_mm.attention': 1,
    'mixpro_mm.backbones': 1,
    'mixpro_mm.losses': 1,
    'mixpro_mm.randomness': 1,
    'mixpro_mm.schedule': 1,
    'mixpro_mm.report': 1,
    'mixpro_mm.report': 1,
    'mixpro_mm.robustness.functional': 0,
    'mixpro_mm.robustness': 2,
    'mixpro_mm.labeling.hook': 2,
    'mixpro_mm.augments': 2,
    'mixpro_mm.transfer': 2,
    'mixpro_mm.datasets': 2,
    'mixpro_mm.guard': 2,
    'mixpro_mm.report': 3,
    'mixpro_mm.study': 3,
    'mixpro_mm.benchmark': 3,
    'mixpro_mm.plugin': 4,
    'mixpro_mm.mim': 4,
    'mixpro_mm.doctor': 5,
}
# open to every floor
FREE = (
    'mixpro_mm',
    *(f'mixpro_mm.{room}' for room in ('version', 'registry', 'files', 'foreign', 'checkpoint', 'clock', 'anatomy')),
    'mixpro_mm.report',  # until mixpro_mm.report has moved there
    *(f'mixpro_mm.{room}' for room in ('arguments', 'config_walk', 'measures', 'ranks', 'wrapped')),
)
TORCH_ONLY = ('mixpro_mm.mixing', 'mixpro_mm.labeling.lam', 'mixpro_mm.labeling.rules', 'mixpro_mm.attention')


def module_name(path):
    parts = path.relative_to(ROOT.parent).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


MODULES = {module_name(path): path for path in sorted(ROOT.rglob('*.py')) if '.mim' not in path.parts}


def within(name, room):
    return name == room or name.startswith(f'{room}.')


def room_of(name):
    """The longest entry of FLOORS that ``name`` belongs to; the package itself only by its own name."""
    rooms = [room for room in FLOORS if name == room or (room != 'mixpro_mm' and within(name, room))]
    return max(rooms, key=len, default=None)


def statements(node, into_functions):
    """Import statements below a node, with or without those that run only when a function is called."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child
        elif into_functions or not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from statements(child, into_functions)


def imports(source, module, is_package, into_functions=True):
    """Dotted names a module imports; ``from a import b`` counts as a.b, relative imports are resolved."""
    package = module.split('.') if is_package else module.split('.')[:-1]
    for node in statements(ast.parse(source), into_functions):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        else:
            above = package[: len(package) - node.level + 1] if node.level else []
            yield from ('.'.join([*above, *filter(None, [node.module]), alias.name]) for alias in node.names)


def imports_of(name, **kwargs):
    path = MODULES[name]
    return list(imports(path.read_text(encoding='utf-8'), name, path.stem == '__init__', **kwargs))


def test_the_reader_of_imports_sees_every_kind():
    source = (
        'import mmseg.apis, torch\nfrom .x import y\nfrom .. import z\nfrom mixpro_mm.mixing import MixedTarget\n'
        'if True:\n    import mmcv\ndef f():\n    from mmdet import a\nclass C:\n    def g(self):\n        import b\n'
    )
    top = {'mmseg.apis', 'torch', 'mixpro_mm.r.x.y', 'mixpro_mm.z', 'mixpro_mm.mixing.MixedTarget', 'mmcv'}
    assert set(imports(source, 'mixpro_mm.r.m', False, into_functions=False)) == top
    assert set(imports(source, 'mixpro_mm.r.m', False)) == top | {'mmdet.a', 'b'}
    assert set(imports('from .x import y\nfrom .. import z', 'mixpro_mm.r', True)) == {'mixpro_mm.r.x.y', 'mixpro_mm.z'}


@pytest.mark.parametrize('module', MODULES)
def test_imports_point_down_only(module):
    """A room may import from its own floor only within itself; everything else lies lower or is free."""
    room = room_of(module)
    assert room is not None, f'{module} has no floor; give it one here and in the plan of the package'
    for name in imports_of(module):
        if name.split('.')[0] != 'mixpro_mm':
            continue
        other = room_of(name) or 'mixpro_mm'
        at_home = other.split('.')[:2] == room.split('.')[:2]
        allowed = other in FREE or FLOORS[other] < FLOORS[room] or (at_home and FLOORS[other] == FLOORS[room])
        assert allowed, f'{module} (floor {FLOORS[room]}) imports {name} (floor {FLOORS[other]})'


@pytest.mark.parametrize('module', [name for name in MODULES if any(within(name, room) for room in TORCH_ONLY)])
def test_the_maths_knows_no_framework(module):
    assert [name for name in imports_of(module) if name.startswith(('mm', 'mixpro_mm.registry'))] == []


@pytest.mark.parametrize('module', MODULES)
def test_segmentation_and_detection_are_imported_where_they_are_used(module):
    tops = {name.split('.')[0] for name in imports_of(module, into_functions=False)}
    assert not tops & {'mmseg', 'mmdet'}


def test_every_floor_holds_something():
    assert {FLOORS[room_of(name)] for name in MODULES} == set(range(6))
