"""Which versions packages themselves ask for, read from what is installed without importing it."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import re
from pathlib import Path

from mixpro_mm.doctor.known import canonical, install

__all__ = ['asserted_ranges', 'matching_torchvision', 'ranges_in', 'torch_of_vision']

BOUND = re.compile(r'(mmcv|mmengine)_(min|max)(imum_version)?', re.IGNORECASE)


def asserted_ranges(module: str) -> dict[str, tuple[str, str]]:
    """``{'mmcv': ('2.0.0', '2.4.0')}``: from and below, as it asserts them on import; {} if it asserts none."""
    try:
        spec = importlib.util.find_spec(module)  # of a package at the top: nothing is run
        return ranges_in(Path(spec.origin).read_text(encoding='utf-8')) if spec and spec.origin else {}
    except (ImportError, ValueError, OSError, SyntaxError):
        return {}  # the import itself will say more


def ranges_in(source: str) -> dict[str, tuple[str, str]]:
    """Bounds among the assignments of an ``__init__.py``: MMCV_MIN = '2.0.0rc4', mmcv_maximum_version = '2.2.0'."""
    bounds: dict[str, dict[str, str]] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = BOUND.fullmatch(node.targets[0].id)
            if name and isinstance(node.value, ast.Constant):
                bounds.setdefault(name[1].lower(), {})[name[2].lower()] = node.value.value
    return {name: (found['min'], found['max']) for name, found in bounds.items() if len(found) == 2}


def matching_torchvision(torch: str) -> str:
    """The command that brings the torchvision for a torch: the resolver knows which one asks for it."""
    if not torch:
        return install('torch', 'torchvision')
    return f'python -m pip install torch=={torch} torchvision'


def torch_of_vision(path: list[str] | None = None) -> str | None:
    """The torch that the installed torchvision was built for, as it requires it: '2.11.0'; None if it does not say."""
    for distribution in importlib.metadata.distributions(**({} if path is None else dict(path=path))):
        if canonical(distribution.metadata['Name'] or '') == 'torchvision':
            for line in distribution.requires or ():
                match = re.match(r'torch\s*\(?==\s*([\d.]+)', line)
                if match:
                    return match[1]
            return None
    return None
