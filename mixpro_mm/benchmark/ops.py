"""Time of the ops of mmcv that most detectors need, by torchvision and as compiled with mmcv."""

import importlib
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType, SimpleNamespace
from unittest.mock import patch

import mmcv.ops
import torch
from torch import Tensor

from mixpro_mm.benchmark.measure import interleave, ratio, spread
from mixpro_mm.benchmark.workbench import Workbench
from mixpro_mm.utils.mmcv_ops import extension

__all__ = ['ops']

BOXES = (500, 2000)  # of a level before NMS in an RPN
REGIONS, BINS = (300, 512), (7, 14)
CHANNELS, CELLS, STRIDE_PX = 256, 100, 4  # the finest level of an FPN, for an image of 400 px


def ops(bench: Workbench, names: Sequence[str] = ()) -> list[dict]:
    """Return a record for each op and size: the time of :mod:`mixpro_mm.utils.mmcv_ops`.

    Where mmcv has compiled ops for the device, the time is relative to them. Both are called by the same functions of
    :mod:`mmcv.ops`, as a detector does, so their checks, allocations and autograd are part of both times.
    """
    sources, records = dict(torchvision=extension), []
    if compiled := _compiled(bench.device):
        sources['compiled'] = compiled
    cases = list(_cases(bench.device))
    settings = SimpleNamespace(**{**vars(bench.settings), 'minutes': bench.settings.minutes / len(cases)})

    def timed(source: ModuleType, caller: ModuleType, work: Callable[[], object]) -> float:
        with patch.object(caller, 'ext_module', source):
            start = bench.now()
            work()
            return bench.now() - start

    for own, caller, work in cases:
        tasks = {name: lambda s=source, c=caller, w=work: timed(s, c, w) for name, source in sources.items()}
        seconds = interleave(tasks, settings)
        found = spread(seconds['torchvision']) | ratio(seconds['torchvision'], seconds.get('compiled'), 'compiled')
        records.append(dict(section='ops', **own, **found))
    return records


def _compiled(device: torch.device) -> ModuleType | None:
    """Return the compiled ops of mmcv, if there are some for the device."""
    found = importlib.import_module('mmcv._ext')
    if found.__file__ == extension.__file__:
        return None
    return found if device.type == 'cpu' or found.get_compiling_cuda_version() != 'not available' else None


def _cases(device: torch.device) -> Iterator[tuple[dict, ModuleType, Callable[[], object]]]:
    """Yield the columns of a record, the module that calls the op, and the call."""
    caller = importlib.import_module('mmcv.ops.nms')
    for number in BOXES:
        boxes, scores = _boxes(number, device), torch.rand(number, device=device)
        yield dict(op='nms', boxes=number), caller, lambda b=boxes, s=scores: mmcv.ops.nms(b, s, 0.7)
    caller = importlib.import_module('mmcv.ops.roi_align')
    features = torch.randn(1, CHANNELS, CELLS, CELLS, device=device, requires_grad=True)
    for number, bins in ((number, bins) for number in REGIONS for bins in BINS):
        regions = torch.cat((torch.zeros(number, 1, device=device), _boxes(number, device)), 1)
        own = dict(boxes=number, bins=f'{bins} x {bins}')

        def pool(regions: Tensor = regions, bins: int = bins) -> Tensor:
            return mmcv.ops.roi_align(features, regions, bins, 1 / STRIDE_PX, 0, 'avg', True)

        def step(pool: Callable[[], Tensor] = pool) -> Tensor:
            return torch.autograd.grad(pool().sum(), features)[0]

        yield dict(op='roi_align', **own), caller, pool
        yield dict(op='roi_align forward and backward', **own), caller, step


def _boxes(number: int, device: torch.device) -> Tensor:
    """Return boxes ``(x1, y1, x2, y2)`` in pixels (N, 4) of 16 to 112 px, as the finest level of an FPN has them."""
    centers = torch.rand(number, 2, device=device) * CELLS * STRIDE_PX
    halves = 8 * 7 ** torch.rand(number, 2, device=device)
    return torch.cat((centers - halves, centers + halves), 1).clamp(0, CELLS * STRIDE_PX)
