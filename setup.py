"""Packaging: names, versions, requirements and `.mim`; the set-up for development is requirements/install.sh."""

import re
import shutil
import sys
import tempfile
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
# Where a wheel has `.mim`: beside the code, as all of OpenMMLab has it, and once more where onedl-mim 0.5.1 looks. That
# takes the folder of the first file of a distribution for its package; installers sort files by path, and
# `mixpro_mm-0.1.0.dist-info/` comes before `mixpro_mm/`. `mixpro_mim/` comes before both.
# An editable install has none: mim then works on the checkout itself, where a second copy would make names ambiguous.
MIM_PLACES = ('mixpro_mm/.mim', 'mixpro_mim/.mim')
# Python runs this line at its start: the finder of mixpro_mm/utils/mmcv_ops, which imports nothing before mmcv asks for
# its compiled ops. A file in site-packages reaches every process: tools of the toolkits, workers, notebooks.
PTH = 'mixpro_mm_mmcv_ops.pth'
PTH_LINE = (
    "import os, sys; os.environ.get('MIXPRO_MM_MMCV_OPS') == '0' or sys.meta_path.append(type('MmcvOpsFinder', (), "
    "dict(find_spec=staticmethod(lambda fullname, path=None, target=None: fullname == 'mmcv._ext' and "
    "__import__('mixpro_mm.utils.mmcv_ops', fromlist=['_']).find_spec(fullname) or None))))"
)


def requirements(name):
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines()
    return [line for line in lines if line and not line.startswith('#')]


def mim_files():
    """What `.mim` holds, relative to the root: configs, metafiles, tools and their index."""
    found = [*ROOT.glob('configs/**/*.py'), *ROOT.glob('configs/**/*.yml'), *ROOT.glob('tools/**/*.py')]
    return [Path('model-index.yml'), *sorted(path.relative_to(ROOT) for path in found)]


class BuildPy(build_py):
    """Puts `.mim` and the `.pth` file into what becomes a wheel; the source tree stays as it is."""

    def _added(self):
        """Source and destination of every file."""
        for place in MIM_PLACES:
            for name in mim_files():
                yield ROOT / name, Path(self.build_lib, place, name)
        yield BUILT_PTH, Path(self.build_lib, PTH)

    def run(self):
        super().run()
        if self.editable_mode:  # its wheel holds what was installed, not what was built
            shutil.copy(BUILT_PTH, self.get_finalized_command('install').install_lib)
        for source, target in () if self.editable_mode else self._added():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)

    def get_outputs(self, include_bytecode=1):
        added = () if self.editable_mode else self._added()
        return [*super().get_outputs(include_bytecode), *(str(target) for _, target in added)]


# Building happens elsewhere: this tree may be read-only, and mim would find copies of configs that are left in it.
BUILD = tempfile.TemporaryDirectory(prefix='mixpro_mm-')  # removed when this process ends
OPTIONS = dict(build=dict(build_base=BUILD.name))
if 'sdist' not in sys.argv:  # which holds its egg-info
    OPTIONS.update(egg_info=dict(egg_base=BUILD.name))
BUILT_PTH = Path(BUILD.name, PTH)
BUILT_PTH.write_text(f'{PTH_LINE}\n', encoding='utf-8')

setup(
    name='mixpro-mm',
    version=re.search(r"__version__ = '(.+)'", (ROOT / 'mixpro_mm' / 'version.py').read_text(encoding='utf-8'))[1],
    description='MixPro (ICLR 2023) for OpenMMLab: pre-train, hand over to segmentation and detection, measure',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    license_files=['LICENSE'],
    python_requires='>=3.10,<3.14',
    packages=find_packages(include=['mixpro_mm', 'mixpro_mm.*']),
    package_data={
        'mixpro_mm.datasets': ['filtered_fashion.json', 'imagenet_wnids.txt'],
        'mixpro_mm.report': ['page.html.j2'],
    },
    install_requires=requirements('runtime'),
    extras_require={'mminstall': requirements('mminstall'), 'tests': requirements('tests')},
    cmdclass=dict(build_py=BuildPy),
    options=OPTIONS,
)
