"""Installed distributions, tested versions, and the commands that install them."""

import importlib.metadata
import re
from collections.abc import Iterator
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from mixpro_mm.doctor.finding import Finding, ok, problem, warning

__all__ = ['KNOWN', 'OWN', 'PIP', 'Environment', 'check_environment', 'fix_import', 'install', 'reinstall']

PIP = 'python -m pip'
OWN = f'{PIP} install --no-build-isolation --no-deps -e .'  # in a checkout of this package
# module -> tested distribution, as in requirements/constraints.txt, which is not in a wheel
KNOWN = {
    'torch': 'torch==2.11.0',
    'torchvision': 'torchvision==0.26.0',
    'cv2': 'opencv-python-headless==4.12.0.88',
    'mmengine': 'onedl-mmengine==0.10.12',
    'mmcv': 'onedl-mmcv==2.3.6',
    'mmpretrain': 'onedl-mmpretrain==1.3.6',
    'mmseg': 'onedl-mmsegmentation==1.4.2',
    'mmdet': 'onedl-mmdetection==3.5.1',
    'mim': 'onedl-mim==0.5.1',
}
DISTRIBUTIONS = {'PIL': 'Pillow', 'sklearn': 'scikit-learn', 'skimage': 'scikit-image', 'yaml': 'PyYAML'}


@dataclass(frozen=True)
class Environment:
    """Installed distributions."""

    versions: dict[str, str]  # distribution -> version
    owners: dict[str, list[str]]  # module -> distributions that install it

    @classmethod
    def read(cls) -> 'Environment':
        """Read the metadata of all distributions on ``sys.path``. The first one of a name counts."""
        found = [each for each in importlib.metadata.distributions() if each.name]  # None: a broken installation
        modules = importlib.metadata.packages_distributions().items()
        return cls(
            {canonicalize_name(each.name): each.version for each in reversed(found)},
            {module: sorted({canonicalize_name(name) for name in names if name}) for module, names in modules},
        )


def install(*modules: str) -> str:
    """Return the command that installs the tested versions. mmcv is built without isolation, to include its ops."""
    pins = ' '.join(KNOWN.get(module) or DISTRIBUTIONS.get(module, module) for module in modules)
    if modules != ('mmcv',):
        return f'{PIP} install {pins}'
    options = '--no-build-isolation --no-deps --force-reinstall --no-cache-dir --no-binary onedl-mmcv'
    return f'MMCV_WITH_OPS=1 {PIP} install {options} {pins}'


def reinstall(module: str, environment: Environment) -> str:
    """Return the command that replaces all distributions of a module by the tested one."""
    owners = environment.owners.get(module, [])
    if module in ('torch', 'torchvision'):
        return install('torch', 'torchvision')
    if owners and owners != [KNOWN[module].partition('==')[0]]:
        return f'{PIP} uninstall -y {" ".join(owners)} && {install(module)}'
    force = 'install --force-reinstall --no-deps' if owners and module != 'mmcv' else 'install'
    return install(module).replace('install', force, 1)


def fix_import(module: str, error: str, environment: Environment) -> str:
    """Return the command that fixes a failed import of ``module``, such as 'mmcv.ops', given its error."""
    top = module.partition('.')[0]
    if re.search(r'libGL\.so|libgthread|libglib|libSM\.so|libXext', error):  # the headless build needs none of these
        newest = max((environment.versions[name] for name in environment.owners.get('cv2', ())), key=Version)
        return f'{PIP} install --force-reinstall --no-deps opencv-python-headless=={newest}'
    if 'pkg_resources' in error:  # mmcv#3325
        return f'{PIP} install "setuptools>=80,<82"'
    if re.search('Adafactor is already registered|its own checkpoints', error):  # mmengine#1609, mmengine#1655
        return reinstall('mmengine', environment)
    numpy = r'numpy.*(1\.x|2\.\d)|_ARRAY_API|numpy\.core\.multiarray|numpy is not avail|numpy\.dtype size'
    if missing := re.search(r"No module named '(\w+)", error):
        top = missing[1]
    elif top != 'mmcv' and re.search(numpy, error, re.I):  # mmcv is compiled instead
        return f'{PIP} install "numpy<2"'
    if top in KNOWN:
        return reinstall(top, environment)
    return OWN if top == 'mixpro_mm' else install(top)


def check_environment(environment: Environment) -> Iterator[Finding]:
    """Check the versions and conflicts of installed distributions."""
    versions, owners = environment.versions, environment.owners
    pins = [pin.split('==') for pin in KNOWN.values()]
    other = [(name, known) for name, known in pins if versions.get(name, known).partition('+')[0] != known]
    different = ', '.join(f'{name} {versions[name]} ({known})' for name, known in other)
    yield ok('versions', f'tested, except {different}' if different else 'all tested')
    for module in KNOWN:
        builds = {name: versions[name] for name in owners.get(module, ())}
        text = f'{" and ".join(" ".join(build) for build in builds.items())} install the same package {module}'
        if module != 'cv2' and len(builds) > 1:
            yield problem(module, text, reinstall(module, environment))
        elif len(set(builds.values())) > 1:  # equal versions of OpenCV do not conflict
            pins = ' '.join(f'{name}=={max(builds.values(), key=Version)}' for name in builds)
            yield warning(module, text, f'{PIP} install --force-reinstall --no-deps {pins}')
    torch, vision = versions.get('torch'), versions.get('torchvision')
    for requirement in map(Requirement, (importlib.metadata.requires('torchvision') or ()) if torch and vision else ()):
        if requirement.name == 'torch' and not requirement.specifier.contains(torch, prereleases=True):
            found = f'torchvision {vision} requires {requirement}, but torch {torch} is installed'
            yield problem('torchvision', found, f'{PIP} install torch=={torch} torchvision')
