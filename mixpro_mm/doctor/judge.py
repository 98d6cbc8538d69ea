"""What the steps of the child found, weighed: plain facts in, findings out. Nothing is imported or asked here."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mixpro_mm.doctor.errors import ANEW, mend_import
from mixpro_mm.doctor.finding import PROBLEM, Finding, ok, one_line, problem, warning
from mixpro_mm.doctor.gpus import judge_gpus
from mixpro_mm.doctor.known import install, release, replace
from mixpro_mm.doctor.pairs import matching_torchvision
from mixpro_mm.doctor.probe import DID_NOT_END, NEEDS, OF_CONFIG
from mixpro_mm.doctor.world import World, outside, package_of

__all__ = ['judge']

CHECKS = {'cv2': 'OpenCV', 'ops': 'mmcv.ops', 'scopes': 'registries'}
LOST_WITHOUT = {
    'mmseg': ': no config of segmentation trains',
    'mmdet': ': no config of detection trains',
    'mim': ': there is no command `mim train`',
}


def judge(step: str, facts: dict, world: World) -> list[Finding]:
    """Findings of one step, from what ``steps.step_STEP`` returned or ``dict(error=...)``.

    Notes in ``world`` if there is a problem.
    """
    check = CHECKS.get(step, step)
    if 'error' not in facts:
        findings = list(JUDGES.get(step, _judge_host)(check, facts, world))
    else:
        cause = next((CHECKS.get(need, need) for need in NEEDS.get(step, ()) if need in world.problems), None)
        if cause:
            return [warning(check, f'not checked, for {cause} comes first')]
        findings = [_failure(step, check, facts['error'], world)]
    if any(finding.status == PROBLEM for finding in findings):
        world.problems.add(step)
    return findings


def _failure(step: str, check: str, error: str, world: World) -> Finding:
    """An import that raised, or took its process down."""
    if f"No module named '{step}'" in error:
        return _missing(step, check, world)
    if DID_NOT_END in error:
        config = ' CONFIG' if step in OF_CONFIG else ''
        mend = f'python -m mixpro_mm.doctor.child {step}{config}  # Ctrl-C there shows what it waits for'
        return world.say(step, check, error, mend)
    said = one_line(re.sub(r'^(ImportError|ModuleNotFoundError|AssertionError|OSError): ', '', error))
    if step in ('mmpretrain', 'mmseg', 'mmdet') and outside(step, world):
        return world.say(step, check, *outside(step, world))
    if step == 'torchvision' and _misfit(world):
        return problem(check, _misfit(world), matching_torchvision(world.versions['torch']))
    if step == 'ops' and 'undefined symbol' in error:
        said = f'built against another torch than {world.versions.get("torch", "this one")}: {said}'
    elif step == 'ops' and "No module named 'mmcv._ext'" in error:
        lite = 'mmcv-lite' in world.versions
        said = 'mmcv-lite has no compiled ops' if lite else 'mmcv was built without its ops, mmcv._ext is missing'
    else:
        said = f'does not import: {said}'
    return world.say(step, check, said, mend_import('mmcv.ops' if step == 'ops' else step, error, world.versions))


def _missing(step: str, check: str, world: World) -> Finding:
    found = f'not installed{LOST_WITHOUT.get(step, "")}'
    if step in ('torch', 'torchvision'):
        return problem(check, found, install('torch', 'torchvision'))
    if step == 'cv2':
        return problem(check, found, install('opencv-python-headless'))
    optional = step in LOST_WITHOUT and step not in (world.needed or ())
    name = world.distribution(step)
    mend = install(package_of(step).maintained)
    if name:  # pip believes it is there
        found = f'{name} {world.versions[name]} is installed, but its files are gone'
        mend = mend_import(step, 'gone', world.versions)
    return (warning if optional else problem)(check, found, mend)


def _misfit(world: World) -> str | None:
    vision, torch, wanted = world.versions.get('torchvision'), world.versions.get('torch'), world.torch_of_vision
    if not torch or not wanted or release(wanted) == release(torch):
        return None
    return f'torchvision {vision} is made for torch {wanted}, but torch {torch} is installed'


def _judge_torch(check: str, facts: dict, world: World) -> Iterator[Finding]:
    build = f'built for CUDA {facts["cuda"]}' if facts['cuda'] else 'built without CUDA'
    if facts['bridge']:  # torch before 2.3 beside NumPy 2
        found = f'torch {facts["version"]} does not work with NumPy {facts["numpy"]}: {one_line(facts["bridge"])}'
        yield problem(check, found, 'python -m pip install "numpy<2"')
    else:
        yield ok(check, f'{facts["version"]}, {build}; NumPy {facts["numpy"]}')
    yield from judge_gpus(facts)


def _judge_torchvision(check: str, facts: dict, world: World) -> Iterator[Finding]:
    wrong = _misfit(world) or facts['wrong']
    if wrong:
        yield problem(check, wrong, matching_torchvision(world.versions.get('torch', '')))
    else:
        made_for = f', made for torch {world.torch_of_vision}' if world.torch_of_vision else ''
        yield ok(check, f'{facts["version"]}{made_for}; its operators compute')


def _judge_cv2(check: str, facts: dict, world: World) -> Iterator[Finding]:
    yield ok(check, f'cv2 {facts["version"]} imports')


def _judge_mmengine(check: str, facts: dict, world: World) -> Iterator[Finding]:
    if not facts['resume']:
        yield _judge_version(check, facts['version'], 'reads its own checkpoints', 'mmengine', world)
        return
    there = [name for name in package_of('mmengine').names if name in world.versions]
    yield problem(  # mmengine#1655
        check,
        f'{world.distribution("mmengine")} {facts["version"]} cannot read its own checkpoints with torch '
        f'{world.versions.get("torch")}, whose torch.load takes weights only: no run resumes or is handed over',
        replace(there, 'onedl-mmengine') if there != ['onedl-mmengine'] else install('onedl-mmengine'),
    )


def _judge_mmcv(check: str, facts: dict, world: World) -> Iterator[Finding]:
    yield _judge_version(check, facts['version'], '', 'mmcv', world)


def _judge_ops(check: str, facts: dict, world: World) -> Iterator[Finding]:
    mend = mend_import('mmcv.ops', '_ext', world.versions)
    if facts['wrong']:
        yield world.say('ops', check, facts['wrong'], mend)
    elif facts['gpu']:
        found = f'no GPU kernels that work on this GPU: {one_line(facts["gpu"], 160)}'
        yield world.say('ops', check, found, mend.replace('MMCV_WITH_OPS=1', 'MMCV_WITH_OPS=1 FORCE_CUDA=1'))
    else:
        cuda = facts['cuda']
        yield ok(check, f'mmcv._ext computes, built {"for CPU" if cuda == "not available" else f"for CUDA {cuda}"}')


def _judge_host(check: str, facts: dict, world: World) -> Iterator[Finding]:
    takes = ', '.join(f'{name} >={low},<{high}' for name, (low, high) in world.ranges.get(check, {}).items())
    if outside(check, world):
        yield world.say(check, check, *outside(check, world))
    else:
        yield _judge_version(check, facts['version'], f'takes {takes}' if takes else '', check, world)


def _judge_version(check: str, version: str, more: str, module: str, world: World) -> Finding:
    """What is imported has to be what pip believes to be installed."""
    name = world.distribution(module)
    if name and release(version) != release(world.versions[name]):
        there = [other for other in package_of(module).names if other in world.versions]
        found = f'{name} {world.versions[name]} is installed, but {version} is imported: its files were written over'
        return problem(check, found, replace(there, package_of(module).maintained))
    return ok(check, f'{name or "outside pip,"} {version}' + (f'; {more}' if more else ''))


def _judge_mim(check: str, facts: dict, world: World) -> Iterator[Finding]:
    name = world.distribution('mim')
    yield ok(check, f'{name} {world.versions[name]} starts' if name else 'starts')


def _judge_scopes(check: str, facts: dict, world: World) -> Iterator[Finding]:
    if facts['lost']:
        more = f' and {len(facts["lost"]) - 1} more' if len(facts['lost']) > 1 else ''
        yield problem(check, f'not found: {facts["lost"][0]}{more}', ANEW)
    else:
        yield ok(check, f'{facts["classes"]} classes mixpro_mm.* resolve from {", ".join(facts["hosts"])}')


def _judge_config(check: str, facts: dict, world: World) -> Iterator[Finding]:
    yield from (Finding(**finding) for finding in facts['findings'])


JUDGES = {
    'torch': _judge_torch,
    'torchvision': _judge_torchvision,
    'cv2': _judge_cv2,
    'mmengine': _judge_mmengine,
    'mmcv': _judge_mmcv,
    'ops': _judge_ops,
    'mim': _judge_mim,
    'scopes': _judge_scopes,
    'config': _judge_config,
}
