"""GPUs, their driver and NCCL, from what torch and nvidia-smi say."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from mixpro_mm.doctor.finding import Finding, ok, one_line, problem, warning
from mixpro_mm.doctor.known import install

__all__ = ['judge_gpus']

ON_PURPOSE = 'CUDA_VISIBLE_DEVICES= in front trains on the CPU'


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
        yield ok('GPU', f'{text}; driver {facts["driver"] or "not asked"}, torch built for CUDA {facts["cuda"]}')
    yield _judge_nccl(facts, len(facts['gpus']))


def _judge_none(facts: dict) -> Finding:
    if facts['seen'] and facts['hidden']:
        return ok('GPU', 'hidden by CUDA_VISIBLE_DEVICES: trains on the CPU')
    if not facts['seen']:
        return ok('GPU', 'no GPU: trains on the CPU')
    there = f'{len(facts["seen"])} x {facts["seen"][0]} with driver {facts["driver"]}'
    if not facts['cuda']:
        found = f'{there}, but torch {facts["version"]} is built without CUDA ({ON_PURPOSE})'
        return problem('GPU', found, 'python -m pip install --force-reinstall --no-deps ' + _pins(facts))
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
    """The build of the same torch for an older CUDA, which older drivers and GPUs take."""
    public = facts['version'].partition('+')[0]
    return f'python -m pip install torch=={public} torchvision --index-url URL_SHOWN_BY_pytorch.org/get-started'


def _pins(facts: dict) -> str:
    return install('torch', 'torchvision').partition(' install ')[2]
