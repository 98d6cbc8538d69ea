"""Installed distributions, the versions known to work together, and the commands that install them."""

import importlib.metadata
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from mixpro_mm.doctor.finding import Finding, ok, problem, warning

__all__ = ['KNOWN', 'MODULES', 'PIP', 'Environment', 'check_environment', 'install', 'reinstall']

PIP = 'python -m pip'
# as requirements/constraints.txt, which a wheel does not contain
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
# module -> distribution of the maintained family
MODULES = {
    'mmengine': 'onedl-mmengine',
    'mmcv': 'onedl-mmcv',
    'mmpretrain': 'onedl-mmpretrain',
    'mmseg': 'onedl-mmsegmentation',
    'mmdet': 'onedl-mmdetection',
    'mim': 'onedl-mim',
}


@dataclass(frozen=True)
class Environment:
    """Installed distributions."""

    versions: dict[str, str]  # distribution -> version
    owners: dict[str, list[str]]  # module -> distributions that install it

    @classmethod
    def read(cls) -> 'Environment':
        """Read the metadata of everything on ``sys.path``; the first of a name counts."""
        named = [each for each in importlib.metadata.distributions() if each.name]  # None after a broken installation
        versions = {canonicalize_name(each.name): each.version for each in reversed(named)}
        owners = importlib.metadata.packages_distributions().items()
        return cls(
            versions, {module: sorted({canonicalize_name(name) for name in names if name}) for module, names in owners}
        )

    def named(self, module: str) -> str:
        """'onedl-mmcv 2.3.6 and mmcv-lite 2.2.0': the distributions that install a module."""
        return ' and '.join(f'{name} {self.versions.get(name)}' for name in self.owners.get(module, ()))


def install(*names: str) -> str:
    """The command that installs distributions in the versions known to work; mmcv is built against this torch.

    With build isolation mmcv would be built without its ops.
    """
    pins = ' '.join(f'{name}=={KNOWN[name]}' if name in KNOWN else name for name in names)
    if names == ('onedl-mmcv',):
        options = '--no-build-isolation --no-deps --force-reinstall --no-cache-dir --no-binary onedl-mmcv'
        return f'MMCV_WITH_OPS=1 {PIP} install {options} {pins}'
    return f'{PIP} install {pins}'


def reinstall(module: str, environment: Environment) -> str:
    """The command that replaces all distributions of a module by the maintained one."""
    if module in ('torch', 'torchvision'):
        return install('torch', 'torchvision')
    name, owners = MODULES[module], environment.owners.get(module, [])
    if owners and owners != [name]:
        return f'{PIP} uninstall -y {" ".join(owners)} && {install(name)}'
    return install(name).replace(' install onedl', ' install --force-reinstall --no-deps onedl' if owners else '')


def check_environment(environment: Environment, python: tuple[int, ...] = sys.version_info[:3]) -> Iterator[Finding]:
    """Checks that import nothing: the version of Python, and what is installed beside each other."""
    text = '.'.join(map(str, python))
    if (3, 10) <= python[:2] <= (3, 12):
        yield ok('Python', f'{text}, {sys.executable}')
    else:
        yield problem('Python', f'{text}, but 3.10, 3.11 or 3.12 is required', 'python3.11 -m venv .venv')
    yield from _check_families(environment)
    different = [
        f'{name} {version} ({KNOWN[name]})'
        for name, version in environment.versions.items()
        if name in KNOWN and Version(version).release != Version(KNOWN[name]).release
    ]
    found = f'others than those known to work: {", ".join(different)}' if different else 'those known to work together'
    yield ok('versions', found)
    yield from _check_opencv(environment)
    yield from _check_torchvision(environment)


def _check_families(environment: Environment) -> Iterator[Finding]:
    """Distributions that install the same files: both families at once, or mmcv beside mmcv-lite."""
    owners = {module: environment.owners[module] for module in MODULES if module in environment.owners}
    for module, names in owners.items():
        if len(names) > 1:
            found = f'{environment.named(module)} install the same package {module}'
            yield problem('families', found, reinstall(module, environment))
    if any(name.startswith('onedl-') for names in owners.values() for name in names):
        for module, (name, *more) in owners.items():
            if not more and not name.startswith('onedl-'):
                found = f'{environment.named(module)} is of the original family, others of the maintained one (onedl-)'
                yield warning('families', found, reinstall(module, environment))


def _check_opencv(environment: Environment) -> Iterator[Finding]:
    """Several builds of OpenCV install the same folder cv2, which works only if their versions are equal."""
    builds = {name: environment.versions[name] for name in environment.owners.get('cv2', ())}
    if len(set(builds.values())) > 1:
        newest = max(builds.values(), key=Version)
        fix = f'{PIP} install --force-reinstall --no-deps {" ".join(f"{name}=={newest}" for name in builds)}'
        yield warning('cv2', f'{environment.named("cv2")} install the same package cv2', fix)


def _check_torchvision(environment: Environment) -> Iterator[Finding]:
    """torchvision requires the one torch that its operators are compiled against."""
    torch, vision = (environment.versions.get(name) for name in ('torch', 'torchvision'))
    if not torch or not vision:
        return
    for requirement in map(Requirement, importlib.metadata.requires('torchvision') or ()):
        if requirement.name == 'torch' and not requirement.specifier.contains(torch, prereleases=True):
            found = f'torchvision {vision} requires {requirement}, but torch {torch} is installed'
            yield problem('torchvision', found, f'{PIP} install torch=={torch} torchvision')
