"""What is known of the installation before anything of it is imported."""

from __future__ import annotations

from dataclasses import dataclass, field

from mixpro_mm.doctor.finding import Finding, problem, warning
from mixpro_mm.doctor.known import PACKAGES, Package, install, release, replace

__all__ = ['World', 'outside']

WITH_OPS = ('mmdet',)  # hosts that do not import without mmcv's compiled ops


@dataclass
class World:
    """Distributions, what they ask of each other, what the config uses, and what was found so far."""

    versions: dict[str, str]  # installed distributions
    ranges: dict[str, dict[str, tuple[str, str]]] = field(default_factory=dict)  # host -> module -> from, below
    torch_of_vision: str | None = None  # the torch that torchvision requires
    needed: set[str] | None = None  # hosts that the config uses; None without a config
    problems: set[str] = field(default_factory=set)  # steps

    def distribution(self, module: str) -> str | None:
        """The distribution that brings a module, the maintained one first."""
        return next((name for name in package_of(module).names if name in self.versions), None)

    def say(self, step: str, check: str, found: str, mend: str) -> Finding:
        """A problem where training stops for it, else a warning: a config of one host does without the others.

        Without a config every host that is installed has to work.
        """
        concerned = WITH_OPS if step == 'ops' else (step,) if step in ('mmseg', 'mmdet') else ()
        spared = concerned and self.needed is not None and not self.needed & set(concerned)
        return (warning if spared else problem)(check, found + (' (not used here)' if spared else ''), mend)


def package_of(module: str) -> Package:
    """The entry of a module in the list of packages."""
    return next(package for package in PACKAGES if package.module == module)


def outside(host: str, world: World) -> tuple[str, str] | None:
    """The version that a host will refuse on import, in words, and the command that mends it; None if there is none."""
    theirs = world.distribution(host)
    for module, (low, high) in world.ranges.get(host, {}).items() if theirs else ():
        name = world.distribution(module)
        if name and not release(low) <= release(world.versions[name]) < release(high):
            takes = f'{theirs} {world.versions[theirs]} takes {module} >={low},<{high}'
            return f'{takes}, but {name} {world.versions[name]} is installed', _agree(theirs, host, name, low, high)
    return None


def _agree(theirs: str, host: str, name: str, low: str, high: str) -> str:
    """Two originals: the dependency moves into the range. Else the original one gives way to the known set."""
    if theirs not in package_of(host).original:
        return install(package_of(host).maintained)
    if name.startswith('onedl-'):
        return replace([theirs], package_of(host).maintained)
    isolation = ' --no-build-isolation' if name.startswith('mmcv') else ''  # else it is built without ops
    return f'python -m pip install{isolation} "{name}>={low},<{high}"'
