"""Findings, installed distributions and their fixes; this module imports only the standard library and packaging."""

import importlib.metadata
import os
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

__all__ = ['Finding', 'check_environment', 'fix_import', 'installed', 'ok', 'one_line', 'problem', 'warning']

PIP = 'python -m pip'
OWN = f'{PIP} install --no-build-isolation --no-deps -e .'  # in a checkout of this package
# module -> tested distribution, as in requirements/constraints.txt, which is not in a wheel
KNOWN = dict(torch='torch==2.11.0', torchvision='torchvision==0.26.0', cv2='opencv-python-headless==4.12.0.88')
KNOWN |= dict(mmengine='onedl-mmengine==0.10.12', mmcv='onedl-mmcv==2.3.6', mmpretrain='onedl-mmpretrain==1.3.6')
KNOWN |= dict(mmseg='onedl-mmsegmentation==1.4.2', mmdet='onedl-mmdetection==3.5.1', mim='onedl-mim==0.5.1')
DISTRIBUTIONS = {'PIL': 'Pillow', 'sklearn': 'scikit-learn', 'skimage': 'scikit-image', 'yaml': 'PyYAML'}
OPENCV = r'libGL\.so|libgthread|libglib|libSM\.so|libXext'  # which the headless build does not need
NUMPY = r'numpy.*(1\.x|2\.\d)|_ARRAY_API|numpy\.core\.multiarray|numpy is not avail|numpy\.dtype size'


@dataclass(frozen=True)
class Finding:
    """The result of a check. A problem prevents training; with a warning, training may not do what is intended."""

    status: str  # 'ok', 'warning' or 'problem'
    check: str  # 'torch', 'data'
    found: str  # one sentence with names and numbers
    fix: str | None = None  # one command or config line


ok, warning, problem = (partial(Finding, status) for status in ('ok', 'warning', 'problem'))


def one_line(text: object, limit: int = 300) -> str:
    """Return a text as one line of at most ``limit`` characters."""
    return textwrap.shorten(str(text), limit, placeholder='...')


def installed() -> dict[str, dict[str, str]]:
    """Return the installed distributions of each known module with their versions; there may be none or several."""
    owners = importlib.metadata.packages_distributions()  # a broken installation has no name
    names = {module: {canonicalize_name(name) for name in owners.get(module, ()) if name} for module in KNOWN}
    return {module: {name: importlib.metadata.version(name) for name in sorted(names[module])} for module in KNOWN}


def _install(*modules: str) -> str:
    """Return the command that installs the tested versions, mmcv without a wheel that was compiled before."""
    pins = ' '.join(KNOWN.get(module) or DISTRIBUTIONS.get(module, module) for module in modules)
    return f'{PIP} install {"--no-cache-dir " * ("mmcv" in modules)}{pins}'


def _reinstall(module: str, environment: dict) -> str:
    """Return the command that replaces all distributions of a module by the tested one."""
    if module in ('torch', 'torchvision'):
        return _install('torch', 'torchvision')
    owners = list(environment.get(module, ()))
    if owners and owners != [KNOWN[module].partition('==')[0]]:
        return f'{PIP} uninstall -y {" ".join(owners)} && {_install(module)}'
    return _install(module).replace('install', 'install --force-reinstall --no-deps' if owners else 'install', 1)


def fix_import(module: str, error: str, environment: dict) -> str:
    """Return the command that fixes a failed import of ``module``, such as 'mmcv.ops', given its error."""
    if re.search(OPENCV, error):
        return f'{PIP} install --force-reinstall --no-deps {KNOWN["cv2"]}'
    if 'pkg_resources' in error:  # mmcv#3325
        return f'{PIP} install "setuptools>=80,<82"'
    if re.search('Adafactor is already registered|its own checkpoints', error):  # mmengine#1609, mmengine#1655
        return _reinstall('mmengine', environment)
    if "Could not run 'torchvision::" in error:  # a build for the CPU beside a torch for CUDA
        version = environment['torchvision']['torchvision'].partition('+')[0]
        return f'{PIP} install --force-reinstall --no-deps torchvision=={version}'
    if "'mmcv._ext'" in error and os.environ.get('MIXPRO_MM_MMCV_OPS') == '0':
        return 'unset MIXPRO_MM_MMCV_OPS'
    if "'mmcv._ext'" in error and [*environment.get('mmcv', ())] == ['onedl-mmcv']:
        return OWN
    missing = re.search(r"No module named '(\w+)", error)
    top = missing[1] if missing else module.partition('.')[0]
    if not missing and top != 'mmcv' and re.search(NUMPY, error, re.I):  # mmcv without compiled ops works with both
        return f'{PIP} install "numpy<2"'
    if top in KNOWN:
        return _reinstall(top, environment)
    return OWN if top == 'mixpro_mm' else _install(top)


def check_environment(environment: dict[str, dict[str, str]]) -> Iterator[Finding]:
    """Check the versions and conflicts of installed distributions, see :func:`installed`."""
    pins = {module: pin.split('==') for module, pin in KNOWN.items()}
    found = {name: (environment.get(module, {}).get(name, known), known) for module, (name, known) in pins.items()}
    other = [f'{name} {here} ({known})' for name, (here, known) in found.items() if here.partition('+')[0] != known]
    yield ok('versions', f'tested, except {", ".join(other)}' if other else 'all tested')
    for module, builds in environment.items():
        text = f'{" and ".join(" ".join(build) for build in builds.items())} install the same package {module}'
        if module != 'cv2' and len(builds) > 1:
            yield problem(module, text, _reinstall(module, environment))
        elif len(set(builds.values())) > 1:  # equal versions of OpenCV do not conflict
            pins = ' '.join(f'{name}=={max(builds.values(), key=Version)}' for name in builds)
            yield warning(module, text, f'{PIP} install --force-reinstall --no-deps {pins}')
    torch, vision = (environment.get(module, {}).get(module) for module in ('torch', 'torchvision'))
    for requirement in map(Requirement, (importlib.metadata.requires('torchvision') or ()) if torch and vision else ()):
        if requirement.name == 'torch' and not requirement.specifier.contains(torch, prereleases=True):
            found = f'torchvision {vision} requires {requirement}, but torch {torch} is installed'
            yield problem('torchvision', found, f'{PIP} install torch=={torch} torchvision')
