"""Names of the packages in both families, the one set of versions known to work, and the commands that bring it."""

from __future__ import annotations

import importlib.metadata
import re
from typing import NamedTuple

__all__ = [
    'KNOWN',
    'PACKAGES',
    'Package',
    'build_ops',
    'canonical',
    'install',
    'installed',
    'pin',
    'release',
    'replace',
]

PIP = 'python -m pip'
# as requirements/constraints.txt, which a wheel does not carry
KNOWN = {
    'torch': '2.11.0',
    'torchvision': '0.26.0',
    'onedl-mmengine': '0.10.12',
    'onedl-mmcv': '2.3.6',
    'onedl-mmpretrain': '1.3.6',
    'onedl-mmsegmentation': '1.4.2',
    'onedl-mmdetection': '3.5.1',
    'onedl-mim': '0.5.1',
    'numpy': '2.2.6',
    'opencv-python': '4.12.0.88',
    'opencv-python-headless': '4.12.0.88',
}


class Package(NamedTuple):
    """An import name and the distributions that bring it: that of the maintained forks, and the original ones."""

    module: str
    maintained: str
    original: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Every distribution that brings it."""
        return (self.maintained, *self.original)


PACKAGES = (
    Package('mmengine', 'onedl-mmengine', ('mmengine', 'mmengine-lite')),
    Package('mmcv', 'onedl-mmcv', ('mmcv', 'mmcv-full', 'mmcv-lite')),
    Package('mmpretrain', 'onedl-mmpretrain', ('mmpretrain',)),
    Package('mmseg', 'onedl-mmsegmentation', ('mmsegmentation',)),
    Package('mmdet', 'onedl-mmdetection', ('mmdet',)),
    Package('mim', 'onedl-mim', ('openmim',)),
)


def canonical(name: str) -> str:
    """A distribution's name as the package index compares it."""
    return re.sub(r'[-_.]+', '-', name).lower()


def installed(path: list[str] | None = None) -> dict[str, str]:
    """Distributions and their versions, the first on ``path`` (``sys.path`` if omitted) as Python would take it."""
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions(**({} if path is None else dict(path=path))):
        name = distribution.metadata['Name']  # None where an interrupted installation left an empty folder
        if name:
            found.setdefault(canonical(name), distribution.version)
    return found


def release(version: str) -> tuple[int, ...]:
    """The numbers of a version, padded to four: '2.0.0rc4' is (2, 0, 0, 0). Does without the package ``packaging``."""
    numbers = [int(number) for number in re.findall(r'\d+', re.split(r'[a-zA-Z+-]', version.lstrip('v'))[0])[:4]]
    return tuple(numbers + [0] * (4 - len(numbers)))


def pin(name: str) -> str:
    """``name==version`` of the known set, or the name where it holds none."""
    return f'{name}=={KNOWN[name]}' if name in KNOWN else name


def build_ops(version: str = KNOWN['onedl-mmcv']) -> str:
    """The command that builds mmcv's ops against the installed torch; with build isolation they would be left out."""
    options = '--no-build-isolation --no-deps --force-reinstall --no-cache-dir --no-binary onedl-mmcv'
    return f'MMCV_WITH_OPS=1 {PIP} install {options} onedl-mmcv=={version}'


def install(*names: str) -> str:
    """The command that installs packages of the known set; mmcv is built."""
    if names == ('onedl-mmcv',):
        return build_ops()
    return f'{PIP} install {" ".join(pin(name) for name in names)}'


def replace(remove: list[str], name: str) -> str:
    """The command that removes distributions and installs another in their place."""
    return f'{PIP} uninstall -y {" ".join(remove)} && {install(name)}'
