"""Checks that import nothing: Python, which packages are installed beside each other, and the machine."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from mixpro_mm.doctor.finding import Finding, ok, problem, warning
from mixpro_mm.doctor.known import KNOWN, PACKAGES, PIP, release, replace

__all__ = [
    'check_disk',
    'check_families',
    'check_known_set',
    'check_opencv',
    'check_python',
    'check_setuptools',
    'check_shm',
]

GIGABYTE = 1024**3
LITTLE_DISK = 5 * GIGABYTE  # a few checkpoints of DeiT-B with their optimizer, 1 GB each
NO_DISK = GIGABYTE // 10
LITTLE_SHM = GIGABYTE  # a container has 64 MB of it unless told otherwise


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    """The versions that the OpenMMLab packages and their wheels are made for."""
    text = '.'.join(map(str, version))
    if (3, 10) <= version[:2] <= (3, 12):
        return ok('Python', f'{text}, {sys.executable}')
    return problem('Python', f'{text}, but 3.10, 3.11 or 3.12 is needed', 'python3.11 -m venv .venv')


def check_families(versions: dict[str, str]) -> Iterator[Finding]:
    """Distributions that write the same files: both families at once, or mmcv beside mmcv-lite."""
    families = set()
    for package in PACKAGES:
        there = [name for name in package.names if name in versions]
        families |= {name == package.maintained for name in there}
        if len(there) > 1:
            text = ' and '.join(f'{name} {versions[name]}' for name in there)
            found = f'{text} write over the same folder {package.module}'
            yield problem('families', found, replace(there, package.maintained))
    if len(families) > 1:
        yield from _mixed(versions)


def _mixed(versions: dict[str, str]) -> Iterator[Finding]:
    """Maintained and original packages side by side: pip brings the missing half of each, on top of the other."""
    alone = [p for p in PACKAGES if p.maintained not in versions and any(name in versions for name in p.original)]
    for package in alone:
        name = next(name for name in package.original if name in versions)
        found = f'{name} {versions[name]} is of the original family, others of the maintained one (onedl-)'
        yield warning('families', found, replace([name], package.maintained))


def check_known_set(versions: dict[str, str]) -> Finding:
    """How far the installation is from the set of versions that is known to work together; to know, not to mend."""
    other = [
        f'{name} {versions[name]} ({KNOWN[name]})'
        for name in KNOWN
        if name in versions and release(versions[name]) != release(KNOWN[name])
    ]
    if not any(name in versions for name in KNOWN):
        return ok('versions', 'nothing of the set known to work is installed')
    return ok('versions', f'others than known to work: {", ".join(other)}' if other else 'those known to work together')


def check_opencv(versions: dict[str, str]) -> Finding | None:
    """Several builds of OpenCV write the same folder cv2: harmless only in one version. None where there is one."""
    there = sorted(name for name in versions if name.startswith('opencv-'))
    if len(there) < 2:
        return None
    text = ', '.join(f'{name} {versions[name]}' for name in there)
    if len({versions[name] for name in there}) == 1:
        return ok('cv2 builds', f'{text}: one folder cv2, but one version')
    newest = max((versions[name] for name in there), key=release)
    pins = ' '.join(f'{name}=={newest}' for name in there)
    mend = f'{PIP} install --force-reinstall --no-deps {pins}'
    return warning('cv2 builds', f'{text}: one folder cv2, half of each', mend)


def check_setuptools(versions: dict[str, str], has_pkg_resources: bool | None = None) -> Finding | None:
    """setuptools 82 has no pkg_resources: mmcv cannot be built and openmim does not start (mmcv#3325)."""
    if has_pkg_resources is None:
        has_pkg_resources = importlib.util.find_spec('pkg_resources') is not None
    version = versions.get('setuptools')
    if has_pkg_resources:
        return ok('setuptools', f'{version or "outside pip"}, with pkg_resources')
    found = f'setuptools {version} has no pkg_resources' if version else 'not installed'
    built = any(name in versions for name in ('onedl-mmcv', 'mmcv'))
    say = warning if built and 'openmim' not in versions else problem
    return say('setuptools', f'{found}: mmcv cannot be built', f'{PIP} install "setuptools>=80,<82"')


def check_disk(work_dir: str | Path) -> Finding:
    """Room for checkpoints where they will be written; the folder need not exist yet."""
    there = Path(work_dir).absolute()
    while not there.exists():
        there = there.parent
    mend = '--work-dir /path/with/room'
    if not os.access(there, os.W_OK):
        return problem('disk', f'{there} cannot be written to, and checkpoints go to {work_dir}', mend)
    free = shutil.disk_usage(there).free
    text = f'{free / GIGABYTE:.1f} GB free for checkpoints in {work_dir}'
    if free < LITTLE_DISK:
        return (problem if free < NO_DISK else warning)('disk', text, mend)
    return ok('disk', text)


def check_shm(workers: int | None, folder: str = '/dev/shm') -> Finding | None:
    """Workers hand batches over in shared memory. None where there is no such folder.

    Args:
        workers: The largest ``num_workers`` of the config; None without a config.
    """
    if not Path(folder).is_dir():
        return None
    total = shutil.disk_usage(folder).total
    text = f'{total / GIGABYTE:.2g} GB of shared memory'
    if total >= LITTLE_SHM or workers == 0:
        return ok('shared memory', text + (', not used: num_workers is 0' if workers == 0 else ''))
    found = f'only {text} in {folder}: workers that load images die of a bus error'
    return warning('shared memory', found, 'docker run --shm-size=8g ...')
