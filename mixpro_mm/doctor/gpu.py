"""Can this torch use the GPUs of this machine?"""

import os
import subprocess
import warnings
from collections import Counter

from mixpro_mm.doctor.environment import PIP
from mixpro_mm.doctor.finding import Finding, ok, one_line, problem

__all__ = ['evaluate_gpu', 'gpu_facts']


def gpu_facts() -> dict:
    """Version of torch, the CUDA it was built for, the GPUs it sees, its error, and the GPUs that the driver lists."""
    import torch

    error = None
    with warnings.catch_warnings(record=True) as said:  # an old driver is only a warning
        warnings.simplefilter('always')
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        try:
            for index in range(count):
                torch.ones(8, device=f'cuda:{index}').sum().item()
        except RuntimeError as raised:  # such as no kernels for this architecture
            error = str(raised)
    if not count and said:
        error = str(said[-1].message)
    names = [torch.cuda.get_device_name(index) for index in range(count)]
    return dict(torch=torch.__version__, cuda=torch.version.cuda, gpus=names, error=error, driver=_nvidia_smi())


def evaluate_gpu(facts: dict) -> Finding:
    """A GPU that torch cannot use is a problem, unless ``CUDA_VISIBLE_DEVICES`` hides it."""
    build = f'torch {facts["torch"]} built for CUDA {facts["cuda"]}'
    if facts['gpus'] and not facts['error']:
        names = ', '.join(f'{count} x {name}' for name, count in Counter(facts['gpus']).items())
        return ok('GPU', f'{names}; {build}')
    if os.environ.get('CUDA_VISIBLE_DEVICES') in ('', '-1') or not (facts['gpus'] or facts['driver']):
        return ok('GPU', 'none: training runs on the CPU')
    there = facts['gpus'][0] if facts['gpus'] else facts['driver'][0]
    # pip would keep the installed build of the same version
    remove, version = f'{PIP} uninstall -y torch torchvision', facts['torch'].partition('+')[0]
    if not facts['cuda']:
        fix = f'{remove} && {PIP} install torch=={version} torchvision'
        return problem('GPU', f'{there} exists, but torch {facts["torch"]} is built without CUDA', fix)
    fix = f'{remove}  # then install torch {version} for the CUDA of the driver, see pytorch.org/get-started'
    return problem('GPU', f'{build} cannot use {there}: {one_line(facts["error"], 160)}', fix)


def _nvidia_smi(timeout_s: float = 20) -> list[str]:
    """'NVIDIA H100, driver 580.1' for each GPU; empty if it does not answer, as when the driver hangs."""
    query = ['nvidia-smi', '--query-gpu=name,driver_version', '--format=csv,noheader']
    try:
        done = subprocess.run(query, capture_output=True, text=True, check=True, timeout=timeout_s)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.replace(', ', ', driver ') for line in done.stdout.splitlines()]
