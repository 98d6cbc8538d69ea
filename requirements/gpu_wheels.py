"""Collect the wheels of gpu_check.sh: python requirements/gpu_wheels.py FOLDER [--python 3.12] [--compiled NAME ...].

These are mixpro_mm, the toolkits, pytest and the pure packages that they need, in the versions of this environment, and
the named compiled packages, for x86-64 Linux. The other compiled ones are printed: the machine itself must have them.
"""

import argparse
import importlib.metadata as metadata
import os
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
TOOLKITS = ('onedl-mmcv', 'onedl-mmdetection', 'onedl-mmengine', 'onedl-mmpretrain')


def needed(wanted: list[str], python: str) -> tuple[list[str], list[str]]:
    """Return ``NAME==VERSION`` of the packages to collect, and of those that the machine must have with their needs."""
    environment = dict(extra='', python_version=python, python_full_version=f'{python}.0')
    own, others, names = {}, {}, ['mixpro-mm', 'pytest', *TOOLKITS]
    while names:
        name = canonicalize_name(names.pop())
        if name in (*own, *others, 'faster-coco-eval'):  # which only evaluation needs
            continue
        package = metadata.distribution(name)
        # mmcv is pure where it is built without torch, as by pip in isolation
        pure = name in TOOLKITS or 'Root-Is-Purelib: true' in package.read_text('WHEEL')
        (own if pure or name in wanted else others)[name] = f'{name}=={package.version}'
        if name in own:
            needs = map(Requirement, package.requires or ())
            names += [need.name for need in needs if need.marker is None or need.marker.evaluate(environment)]
    del own['mixpro-mm']
    return sorted(own.values()), sorted(others.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder')
    parser.add_argument('--python', default='{}.{}'.format(*sys.version_info), help='version on the other machine')
    parser.add_argument('--compiled', nargs='*', default=['pycocotools', 'shapely'])
    args = parser.parse_args()
    args.compiled = [*map(canonicalize_name, args.compiled)]
    (own, others), pip = needed(args.compiled, args.python), [sys.executable, '-m', 'pip']
    compiled = [package for package in own if package.partition('==')[0] in args.compiled]
    pure = [package for package in own if package not in compiled]
    subprocess.run([*pip, 'wheel', '-q', '--no-cache-dir', '--no-deps', '-w', args.folder, *pure, ROOT], check=True)
    if compiled:
        target = ['--only-binary=:all:', f'--python-version={args.python}', '--platform=manylinux2014_x86_64']
        target += [f'--platform=manylinux_2_{minor}_x86_64' for minor in range(17, 29)]
        subprocess.run([*pip, 'download', '-q', '--no-deps', *target, '-d', args.folder, *compiled], check=True)
    size = sum(os.path.getsize(path) for path in Path(args.folder).glob('*.whl'))
    print(f'{args.folder}: {size / 1e6:.1f} MB')
    print('the machine must have', ', '.join(others))


if __name__ == '__main__':
    main()
