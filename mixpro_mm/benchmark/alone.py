"""Mixing and labelling on their own, at the shapes they have in training."""

from collections.abc import Callable
from contextlib import contextmanager

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from mixpro_mm.attention import find_attention_block
from mixpro_mm.benchmark.optimizer import AMP
from mixpro_mm.benchmark.workbench import Session

__all__ = ['LabellingAlone', 'MixingAlone']


class MixingAlone:
    """One batch of normalised images, mixed again and again by one method.

    Args:
        session: of the method; attached, if the method looks at a model.
        batch: images.
        size: pixels along their side.
    """

    def __init__(self, session: Session, batch: int, size: int):
        self.session, self.watch, device = session, session.bench.watch, session.bench.device
        self.images = torch.randn(batch, 3, size, size, device=device)
        classes = session.bench.settings.classes
        self.scores = F.one_hot(torch.arange(batch, device=device) % classes, classes).float()
        self.buffer = torch.empty_like(self.images)

    def seconds(self, work: Callable[[Tensor, Tensor], object] | None = None) -> float:
        """Of the augment, or of other work on images and labels; on a copy, for the host's methods write into it."""
        self.buffer.copy_(self.images)
        self.watch.start()
        (work or self.session.augment)(self.buffer, self.scores)
        self.watch.mark()
        if hasattr(self.session.augment, 'pop_target'):
            self.session.augment.pop_target()
        return self.watch.seconds()[0]


class LabellingAlone:
    """The real hooks of a session on made-up queries, keys and logits: all that labelling adds to a step.

    The layers the hooks listen to are replaced by stand-ins that cost nothing. The labels are mixed before the clock
    starts. Use while the session is attached.

    Args:
        session: of a method with attention labels.
        batch: images.
        size: pixels along their side; the model's own does not matter.
    """

    def __init__(self, session: Session, batch: int, size: int):
        bench = self.bench = session.bench
        self.mixing = MixingAlone(session, batch, size)
        self.block = find_attention_block(bench.model)
        self.loss = bench.model.head.loss_module
        dtype = getattr(torch, AMP[bench.settings.amp] or 'float32')
        tokens = self._tokens(size)
        self.outputs = {}
        for name in self.block.projections:
            layer = getattr(self.block.attn, name)
            shape = (batch, tokens, layer.out_features)
            self.outputs[layer] = torch.randn(shape, device=bench.device, dtype=dtype)
        self.logits = torch.randn(batch, bench.settings.classes, device=bench.device, dtype=dtype)

    def label(self) -> tuple[Tensor, list[float]]:
        """(B, K) labels as the loss would get them, and the seconds of reading attention, and of that and labelling."""
        mixing, watch = self.mixing, self.bench.watch
        mixed, scores = mixing.session.augment(mixing.images, mixing.scores)
        with _standing_in(self.outputs, self.loss):
            watch.start()
            for layer in self.outputs:
                layer(mixed)
            watch.mark()
            target = self.loss(self.logits, scores, avg_factor=len(scores))
            watch.mark()
        return target, watch.seconds()

    def seconds(self) -> list[float]:
        """Those of :meth:`label`."""
        return self.label()[1]

    def _tokens(self, size: int) -> int:
        """Tokens of the last block for an image of that side, from those it has at the model's own size."""
        seen = []
        handle = getattr(self.block.attn, self.block.projections[-1]).register_forward_hook(
            lambda layer, args, out: seen.append(out.shape[1])
        )
        with torch.no_grad():
            own = self.bench.settings.size
            self.bench.model(torch.zeros(1, 3, own, own, device=self.bench.device), mode='tensor')
        handle.remove()
        side = round((seen[0] - self.block.prefix_tokens) ** 0.5)
        return (size * side // own) ** 2 + self.block.prefix_tokens


@contextmanager
def _standing_in(outputs: dict[nn.Module, Tensor], loss: nn.Module):
    """Meanwhile, layers give what they are told to and the loss gives its target back; their hooks run as ever."""
    for layer, output in outputs.items():
        layer.forward = lambda entered, output=output: output
    loss.forward = lambda logits, target, **kwargs: target
    try:
        yield
    finally:
        for module in (*outputs, loss):
            del module.forward
