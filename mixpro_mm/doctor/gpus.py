"""GPUs, their driver and NCCL, from what torch and nvidia-smi say."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from mixpro_mm.doctor.finding import Finding, ok, one_line, problem, warning
from mixpro_mm.doctor.known import PIP
from mixpro_mm.doctor.pairs import matching_torchvision

__all__ = ['judge_gpus']

ON_PURPOSE = 'CUDA_VISIBLE_DEVICES= in front trains on the CPU'
REMOVE = f'{PIP} uninstall -y torch torchvision'  # else pip keeps the version that is there, in whichever build


def judge_gpus(facts: dict) -> Iterator[Finding]:
    """Weigh what ``steps.step_torch`` found: can training use the GPUs that are here?

    A GPU that is there and cannot be used is a problem, though training would start: nobody who has one means to train
    on the CPU, unless CUDA_VISIBLE_DEVICES is empty.
    """
    if not facts['gpus']:
        yield _judge_none(facts)
        return
    names = Counter(f'{gpu["name"]} ({gpu["gigabytes"]} GB)' for gpu in facts['gpus'])
    text = ', '.join(f'{count} x {name}' for name, count in names.items())
    unserved = [gpu for gpu in facts['gpus'] if not _serves(facts['archs'], gpu['capability'])]
    if unserved:
        gpu = unserved[0]
        found = (
            f'{gpu["name"]} has compute capability {gpu["capability"]}, for which torch {facts["version"]} has no '
            f'kernels ({", ".join(facts["archs"])})'
        )
        yield problem('GPU', found, _other_build(facts))
    else:
        driver = facts['driver'] or facts['unanswered'] or 'not asked'
        yield ok('GPU', f'{text}; driver {driver}, torch built for CUDA {facts["cuda"]}')
    yield _judge_nccl(facts, len(facts['gpus']))


def _judge_none(facts: dict) -> Finding:
    if (facts['seen'] or facts['unanswered']) and facts['hidden']:
        return ok('GPU', 'hidden by CUDA_VISIBLE_DEVICES: trains on the CPU')
    if facts['unanswered']:
        return warning('GPU', f'torch finds none, and {facts["unanswered"]}: its driver may hang', 'nvidia-smi')
    if not facts['seen']:
        return ok('GPU', 'no GPU: trains on the CPU')
    there = f'{len(facts["seen"])} x {facts["seen"][0]} with driver {facts["driver"]}'
    if not facts['cuda']:
        found = f'{there}, but torch {facts["version"]} is built without CUDA ({ON_PURPOSE})'
        return problem('GPU', found, f'{REMOVE} && {matching_torchvision(_public(facts))}')
    said = f': {one_line(facts["said"], 160)}' if facts['said'] else ''
    found = f'{there}, but torch built for CUDA {facts["cuda"]} cannot use it{said} ({ON_PURPOSE})'
    return problem('GPU', found, _other_build(facts))


def _judge_nccl(facts: dict, count: int) -> Finding:
    if facts['nccl'] and not facts['computes']:
        return ok('NCCL', f'{facts["nccl"]}, reduces over a GPU')
    broken = f'NCCL {facts["nccl"]} fails: {one_line(facts["computes"], 160)}' if facts['nccl'] else 'torch has no NCCL'
    mend = '--cfg-options env_cfg.dist_cfg.backend=gloo'
    if count == 1:
        return warning('NCCL', f'{broken}; one GPU trains without it', mend)
    return problem('NCCL', f'{broken}, so {count} GPUs cannot train together', mend)


def _serves(archs: list[str], capability: str) -> bool:
    """Kernels run on the same major generation from their minor one on; PTX of any earlier one is compiled."""
    major, minor = (int(number) for number in capability.split('.'))
    for arch in archs:
        match = re.fullmatch(r'(sm|compute)_(\d+)(\d)[a-z]?', arch)
        if not match:
            return True  # not of NVIDIA's: torch knows better
        kind, built = match[1], (int(match[2]), int(match[3]))
        if built <= (major, minor) and (kind == 'compute' or built[0] == major):
            return True
    return not archs


def _other_build(facts: dict) -> str:
    """For another CUDA, which other drivers and GPUs take: only its makers say where such builds lie."""
    then = f'then the command that pytorch.org/get-started shows for torch {_public(facts)} and another CUDA'
    return f'{REMOVE}  # {then}'


def _public(facts: dict) -> str:
    return facts['version'].partition('+')[0]
