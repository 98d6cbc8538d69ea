"""AdamW in the host's wrappers, with a mark between backward pass and update."""

from contextlib import contextmanager

import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import nn

from mixpro_mm.benchmark.stopwatch import Stopwatch

__all__ = ['AMP', 'build_optim_wrapper']

AMP = {'none': None, 'bf16': 'bfloat16', 'fp16': 'float16'}


class _Marked:
    """Marks the end of the backward pass on the way to the update."""

    watch: Stopwatch | None = None

    def step(self, **kwargs) -> None:
        if self.watch is not None:
            self.watch.mark()
        super().step(**kwargs)


class _Plain(_Marked, OptimWrapper):
    pass


class _Amp(_Marked, AmpOptimWrapper):
    pass


class _CpuAmp(_Plain):
    """The host's mixed precision refuses CPUs; bfloat16 needs no loss scaling there."""

    @contextmanager
    def optim_context(self, model: nn.Module):
        with super().optim_context(model), torch.autocast('cpu', torch.bfloat16):
            yield


def build_optim_wrapper(model: nn.Module, amp: str, device: torch.device) -> OptimWrapper:
    """AdamW with the settings of the paper's recipe; set ``watch`` to have the end of each backward pass marked.

    Args:
        model: whose parameters are trained.
        amp: 'none', 'bf16' or 'fp16'.
        device: of the model.

    Raises:
        ValueError: if that precision is unknown, or is fp16 on a CPU.
    """
    if amp not in AMP:
        raise ValueError(f'amp {amp!r} is unknown; known: {", ".join(AMP)}')
    if amp == 'fp16' and device.type != 'cuda':
        raise ValueError(f"amp 'fp16' needs a CUDA device, not {device.type}: choose bf16 or none")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    if amp == 'none':
        return _Plain(optimizer)
    return _Amp(dtype=AMP[amp], optimizer=optimizer) if device.type == 'cuda' else _CpuAmp(optimizer)
