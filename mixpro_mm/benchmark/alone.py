"""Mixing and labelling on their own, with tensors of the shapes they have in training."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from unittest.mock import patch

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from mixpro_mm.attention import find_attention_block
from mixpro_mm.benchmark.measure import interleave, origin, ratio, spread
from mixpro_mm.benchmark.workbench import Session, Workbench

__all__ = ['label', 'measure_labelling', 'measure_mixing', 'projected']

WHERE = 'torch.where'
CELL = 64  # pixels along a cell of the mask: 4 patches of 16
STEPS = 2  # to compare labelling with


def measure_mixing(bench: Workbench, names: Sequence[str], turns: Callable = interleave) -> list[dict]:
    """A record a method that mixes: seconds for ``alone_batch`` images, compared with one torch.where by a mask."""
    images, scores = _batch(bench)
    size, buffer = bench.settings.size, torch.empty_like(images)
    cells = torch.rand(len(images), 1, -(-size // CELL), -(-size // CELL), device=bench.device) < 0.5
    mask = cells.repeat_interleave(CELL, 2).repeat_interleave(CELL, 3)[..., :size, :size].contiguous()
    partner = torch.randperm(len(images), device=bench.device)

    def timed(work: Callable[[Tensor, Tensor], object]) -> float:
        buffer.copy_(images)  # the host's methods write into what they are given
        start = bench.now()
        work(buffer, scores)
        return bench.now() - start

    def mixed(session: Session) -> float:
        with session.attached():
            seconds = timed(session.augment)
            getattr(session.augment, 'take', lambda: None)()
        return seconds

    sessions = [Session(bench, name) for name in names]
    tasks = {s.name: lambda s=s: mixed(s) for s in sessions if s.augment is not None}
    tasks[WHERE] = lambda: timed(lambda images, scores: torch.where(mask, images, images[partner]))
    seconds = turns(tasks)
    return [
        origin(bench, 'mixing', name, len(images)) | spread(values) | ratio(values, seconds[WHERE], 'where')
        for name, values in seconds.items()
    ]


def measure_labelling(bench: Workbench, names: Sequence[str], turns: Callable = interleave) -> list[dict]:
    """A record a method with attention labels: seconds for ``alone_batch`` images, and their share of a step."""
    sessions = [session for session in (Session(bench, name) for name in names) if _uses_attention(session)]
    if not sessions:
        return []
    images, scores = _batch(bench)
    outputs, logits = projected(bench, images)

    def timed(session: Session) -> tuple[float, float]:
        with session.attached():
            return label(session, images, scores, outputs, logits)[1]

    seconds = turns({session.name: lambda session=session: timed(session) for session in sessions})
    step_s = min(sessions[-1].turn(len(images))[0] for _ in range(STEPS))
    records = []
    for name, figures in seconds.items():
        attention, whole = (list(part) for part in zip(*figures, strict=True))
        own = dict(attention_median_s=spread(attention)['median_s'], step_s=step_s)
        own['share_of_step'] = spread(whole)['median_s'] / step_s
        records.append(origin(bench, 'labelling', name, len(images)) | spread(whole) | own)
    return records


def projected(bench: Workbench, images: Tensor) -> tuple[dict[nn.Module, Tensor], Tensor]:
    """What the query and key projections of the last block return for ``images``, and the (B, K) logits."""
    block, outputs = find_attention_block(bench.model), {}
    layers = [getattr(block.attn, name) for name in block.projections]
    handles = [layer.register_forward_hook(lambda m, args, out: outputs.update({m: out.detach()})) for layer in layers]
    with torch.no_grad(), bench.optim.optim_context(bench.model):
        logits = bench.model(images, mode='tensor')
    for handle in handles:
        handle.remove()
    return outputs, logits


def label(
    session: Session, images: Tensor, scores: Tensor, outputs: dict[nn.Module, Tensor], logits: Tensor
) -> tuple[Tensor, tuple[float, float]]:
    """Mix, then label by the hooks of an attached session; projections and loss only return what they are given.

    Returns:
        (B, K) labels as the loss gets them; seconds of reading the attention, and of reading and labelling.
    """
    bench, loss = session.bench, session.bench.model.head.loss_module
    mixed, scores = session.augment(images, scores)
    with ExitStack() as stack:
        for layer, output in outputs.items():
            stack.enter_context(patch.object(layer, 'forward', lambda entered, output=output: output))
        stack.enter_context(patch.object(loss, 'forward', lambda logits, target: target))
        start = bench.now()
        for layer in outputs:
            layer(mixed)
        read = bench.now()
        target = loss(logits, scores)
        return target, (read - start, bench.now() - start)


def _batch(bench: Workbench) -> tuple[Tensor, Tensor]:
    """(B, 3, H, W) normalised images and (B, K) one-hot labels."""
    settings = bench.settings
    images = torch.randn(settings.alone_batch, 3, settings.size, settings.size, device=bench.device)
    classes = torch.arange(len(images), device=bench.device) % settings.classes
    return images, F.one_hot(classes, settings.classes).float()
