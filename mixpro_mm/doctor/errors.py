"""Errors of imports that people meet, in their own words, and the command that mends each."""

from __future__ import annotations

import re

from mixpro_mm.doctor.known import KNOWN, PACKAGES, PIP, build_ops, install, release, replace

__all__ = ['ANEW', 'mend_import']

ANEW = f'{PIP} install --no-build-isolation --no-deps -e .'  # this package, in the checkout

# a module's name where that of its package is another one
BROUGHT_BY = {
    'cv2': 'opencv-python-headless',
    'PIL': 'Pillow',
    'sklearn': 'scikit-learn',
    'yaml': 'PyYAML',
    'skimage': 'scikit-image',
    **{package.module: package.maintained for package in PACKAGES},
}
SETUPTOOLS = f'{PIP} install "setuptools>=80,<82"'


def mend_import(module: str, error: str, versions: dict[str, str]) -> str:
    """The one command that mends a failed import.

    Args:
        module: What was imported: 'torch', 'mmcv.ops'.
        error: Type and text of the error, or how the process ended.
        versions: Installed distributions, see ``known.installed``.
    """
    top = module.split('.')[0]
    if re.search(r'libGL\.so|libgthread|libglib|libSM\.so|libXext', error):
        return _headless(versions)
    if 'pkg_resources' in error:  # mmcv#3325
        return SETUPTOOLS
    if 'Adafactor is already registered' in error:  # mmengine#1609
        return _engine(versions)
    if re.search(r'numpy.*(1\.x|2\.\d)|_ARRAY_API|numpy\.core\.multiarray|numpy\.dtype size changed', error, re.I):
        return _rebuilt(top, versions)
    if 'mmcv._ext' in error or module == 'mmcv.ops':
        return _ops(versions)
    missing = re.search(r"No module named '([\w.]+)'", error)
    if missing and missing[1].split('.')[0] != top:
        return install(_brought_by(missing[1].split('.')[0]))
    return _again(top, versions)


def _headless(versions: dict[str, str]) -> str:
    """OpenCV without a display: the same version, written over the one that wants one; needs no root."""
    there = [version for name, version in versions.items() if name.startswith('opencv-')]
    version = max(there, key=release, default=KNOWN['opencv-python-headless'])
    return f'{PIP} install --force-reinstall --no-deps opencv-python-headless=={version}'


def _engine(versions: dict[str, str]) -> str:
    old = [name for name in ('mmengine', 'mmengine-lite') if name in versions]
    return replace(old, 'onedl-mmengine') if old else install('onedl-mmengine')


def _ops(versions: dict[str, str]) -> str:
    """mmcv with ops, built against this torch, in the family that is there."""
    original = [name for name in PACKAGES[1].original if name in versions]
    if not original:
        return build_ops(versions.get('onedl-mmcv', KNOWN['onedl-mmcv']))
    return replace(original, 'onedl-mmcv')


def _rebuilt(top: str, versions: dict[str, str]) -> str:
    """A package compiled against NumPy 1, beside NumPy 2."""
    if top == 'mmcv':
        return _ops(versions)
    if top in ('torch', 'torchvision'):
        return install('torch', 'torchvision')
    return f'{PIP} install "numpy<2"'


def _brought_by(module: str) -> str:
    return BROUGHT_BY.get(module, module)


def _again(top: str, versions: dict[str, str]) -> str:
    """Install it anew, in the version known to work; a step that is no package of its own is of this one."""
    if top in ('scopes', 'config'):
        return ANEW
    package = next((package for package in PACKAGES if package.module == top), None)
    old = [name for name in package.original if name in versions] if package else []
    if old:
        return replace(old, package.maintained)
    if package and package.module == 'mmcv':
        return _ops(versions)
    if top in ('torch', 'torchvision'):
        return install('torch', 'torchvision')
    command = install(_brought_by(top))
    return command.replace(' install ', ' install --force-reinstall --no-deps ') if package else command
