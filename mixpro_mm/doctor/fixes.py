"""Import errors that are often seen, and the command that fixes each."""

import re

from packaging.version import Version

from mixpro_mm.doctor.environment import KNOWN, MODULES, PIP, Environment, install, reinstall

__all__ = ['OWN', 'fix_import']

OWN = f'{PIP} install --no-build-isolation --no-deps -e .'  # this package, in its checkout
# distributions whose name is not that of their module
DISTRIBUTIONS = {
    'cv2': 'opencv-python-headless',
    'PIL': 'Pillow',
    'sklearn': 'scikit-learn',
    'yaml': 'PyYAML',
    'skimage': 'scikit-image',
}


def fix_import(module: str, error: str, environment: Environment) -> str:
    """The command that fixes a failed import.

    Args:
        module: What was imported, such as 'torch' or 'mmcv.ops'.
        error: Type and text of the error, or how the process ended.
        environment: The installed distributions.
    """
    top = module.partition('.')[0]
    if re.search(r'libGL\.so|libgthread|libglib|libSM\.so|libXext', error):  # needs a display; headless does not
        versions = [environment.versions[name] for name in environment.owners.get('cv2', ())]
        version = max(versions, key=Version, default=KNOWN['opencv-python-headless'])
        return f'{PIP} install --force-reinstall --no-deps opencv-python-headless=={version}'
    if 'pkg_resources' in error:  # mmcv#3325
        return f'{PIP} install "setuptools>=80,<82"'
    if 'Adafactor is already registered' in error:  # mmengine#1609
        return reinstall('mmengine', environment)
    if 'mmcv._ext' in error or module == 'mmcv.ops':
        return reinstall('mmcv', environment)
    if re.search(r'numpy.*(1\.x|2\.\d)|_ARRAY_API|numpy\.core\.multiarray|numpy is not avail|dtype size', error, re.I):
        return reinstall('mmcv', environment) if top == 'mmcv' else f'{PIP} install "numpy<2"'
    missing = re.search(r"No module named '(\w+)", error)
    absent = missing[1] if missing else top
    if absent in (*MODULES, 'torch', 'torchvision'):
        return reinstall(absent, environment)
    return OWN if absent == 'mixpro_mm' else install(DISTRIBUTIONS.get(absent, absent))
