"""What the child process imports and tries; each step returns plain facts, for ``judge_*`` of the parent to weigh.

Nothing heavy is imported before the step that needs it. Each step raises whatever the import raises.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import tempfile
import warnings

__all__ = []

BOXES = [[0.0, 0, 4, 4], [0, 0, 4, 4.1], [8, 8, 9, 9]]
SCORES = [0.9, 0.8, 0.7]
KEPT = [0, 2]  # of those, by an IoU of 0.5


def step_torch() -> dict:
    """Version, builds, the bridge to NumPy, GPUs and NCCL."""
    import torch  # first: without it, what else is missing says little

    import numpy  # isort: skip

    facts = dict(version=torch.__version__, cuda=torch.version.cuda, numpy=numpy.__version__)
    try:
        facts['bridge'] = None if torch.ones(2).numpy().sum() == 2 else 'torch.ones(2).numpy() is wrong'
    except RuntimeError as error:
        facts['bridge'] = str(error)
    with warnings.catch_warnings(record=True) as said:  # a driver too old is told by a warning only
        warnings.simplefilter('always')
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    facts['said'] = str(said[-1].message) if said else None
    facts['archs'] = torch.cuda.get_arch_list() if count else []
    facts['gpus'] = [_gpu(torch.cuda.get_device_properties(index)) for index in range(count)]
    facts['nccl'] = '.'.join(map(str, torch.cuda.nccl.version())) if torch.distributed.is_nccl_available() else None
    facts['computes'] = _error_of(_sum_over_one_gpu) if count and facts['nccl'] else None
    facts['driver'], facts['seen'], facts['unanswered'] = _driver()
    facts['hidden'] = os.environ.get('CUDA_VISIBLE_DEVICES') in ('', '-1')
    return facts


def step_torchvision() -> dict:
    """Version, and whether its compiled operators go with this torch."""
    import torch
    import torchvision
    from torchvision.ops import nms

    kept = nms(torch.tensor(BOXES), torch.tensor(SCORES), 0.5).tolist()
    return dict(version=torchvision.__version__, wrong=None if kept == KEPT else f'torchvision.ops.nms kept {kept}')


def step_cv2() -> dict:
    """Version of OpenCV as it is imported."""
    import cv2

    return dict(version=cv2.__version__)


def step_mmengine() -> dict:
    """Version, and whether a checkpoint as its Runner writes it can be read again."""
    import mmengine
    import torch
    from mmengine.logging import HistoryBuffer
    from mmengine.runner import CheckpointLoader

    # a Runner's checkpoint carries its log, which torch.load refuses with weights_only
    checkpoint = dict(state_dict={}, message_hub=dict(log_scalars=dict(loss=HistoryBuffer([1.0], [1]))))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'checkpoint.pth')
        torch.save(checkpoint, path)
        error = _error_of(lambda: CheckpointLoader.load_checkpoint(path, map_location='cpu'))
    return dict(version=mmengine.__version__, resume=error)


def step_mmcv() -> dict:
    """Version."""
    import mmcv

    return dict(version=mmcv.__version__)


def step_ops() -> dict:
    """Whether mmcv's compiled ops compute, on the CPU and on a GPU if there is one."""
    import mmcv._ext  # noqa: F401
    import torch
    from mmcv.ops import get_compiling_cuda_version, nms

    kept = nms(torch.tensor(BOXES), torch.tensor(SCORES), 0.5)[1].tolist()
    facts = dict(wrong=None if kept == KEPT else f'mmcv.ops.nms kept {kept}, not {KEPT}', gpu=None)
    facts['cuda'] = get_compiling_cuda_version()
    if torch.cuda.is_available():
        facts['gpu'] = _error_of(lambda: nms(torch.tensor(BOXES).cuda(), torch.tensor(SCORES).cuda(), 0.5)[1].tolist())
    return facts


def step_mmpretrain() -> dict:
    """Version, with every model, data set and transform imported as its registries do it."""
    return _host('mmpretrain', 'models', 'datasets', 'engine', 'evaluation')


def step_mmseg() -> dict:
    """Version, with everything that registers."""
    return _host('mmseg', 'models', 'datasets', 'engine', 'evaluation')


def step_mmdet() -> dict:
    """Version, with everything that registers."""
    return _host('mmdet', 'models', 'datasets', 'engine', 'evaluation')


def step_mim() -> dict:
    """Version of mim, whose command line does the training."""
    import mim  # noqa: F401

    return {}


def step_scopes() -> dict:
    """Which classes of this package every installed host finds by their scoped names."""
    from mixpro_mm.doctor.scopes import scopes

    return scopes()


def step_hosts(path: str) -> dict:
    """What the checks of the installation have to know of a config."""
    from mixpro_mm.doctor.config import load, needs_of

    return needs_of(load(path))


def step_config(path: str) -> dict:
    """Findings about a config."""
    from dataclasses import asdict

    import torch

    from mixpro_mm.doctor.config import examine

    return dict(findings=[asdict(finding) for finding in examine(path, torch.cuda.device_count())])


def _host(name: str, *rooms: str) -> dict:
    module = importlib.import_module(name)
    for room in rooms:
        importlib.import_module(f'{name}.{room}')
    return dict(version=module.__version__)


def _gpu(properties) -> dict:
    return dict(
        name=properties.name,
        gigabytes=round(properties.total_memory / 2**30, 1),
        capability=f'{properties.major}.{properties.minor}',
    )


def _driver(limit_s: float = 20) -> tuple[str | None, list[str], str | None]:
    """Version of NVIDIA's driver and the names of its GPUs, whatever torch makes of them; a sentence if none came."""
    query = ['nvidia-smi', '--query-gpu=driver_version,name', '--format=csv,noheader']
    try:
        done = subprocess.run(query, capture_output=True, text=True, check=True, timeout=limit_s)
    except subprocess.TimeoutExpired:
        return None, [], f'nvidia-smi did not answer within {limit_s:g} seconds'
    except (OSError, subprocess.CalledProcessError):
        return None, [], None
    rows = [line.split(', ', 1) for line in done.stdout.splitlines() if ', ' in line]
    return (rows[0][0] if rows else None), [row[1] for row in rows], None


def _sum_over_one_gpu() -> None:
    """NCCL at work, if only with itself."""
    import torch
    from torch import distributed

    distributed.init_process_group('nccl', store=distributed.HashStore(), rank=0, world_size=1)
    try:
        distributed.all_reduce(torch.ones(1, device='cuda'))
        torch.cuda.synchronize()
    finally:
        distributed.destroy_process_group()


def _error_of(call) -> str | None:
    """The error that a call raises, or None."""
    try:
        call()
    except Exception as error:
        return f'{type(error).__name__}: {error}'
    return None
