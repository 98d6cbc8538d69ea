"""Packaging: names, versions and requirements; the set-up for development is requirements/install.sh."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def requirements(name):
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines()
    return [line for line in lines if line and not line.startswith('#')]


setup(
    name='mixpro-mm',
    version=re.search(r"__version__ = '(.+)'", (ROOT / 'mixpro_mm' / 'version.py').read_text(encoding='utf-8'))[1],
    description='MixPro (ICLR 2023) for OpenMMLab: pre-train, hand over to segmentation and detection, measure',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.10,<3.13',
    packages=find_packages(include=['mixpro_mm', 'mixpro_mm.*']),
    package_data={'mixpro_mm.datasets': ['filtered_digits.json', 'imagenet_wnids.txt']},
    install_requires=requirements('runtime'),
    extras_require={'mminstall': requirements('mminstall'), 'tests': requirements('tests')},
)
