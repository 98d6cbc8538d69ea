"""Tap on the projections of one attention block."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from mixpro_mm.labeling.attention import find_attention_block, parse_attention, untrained
from mixpro_mm.labeling.readers import READINGS, class_row

__all__ = ['ClassAttentionTap', 'eval_mode']


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Set ``model`` to evaluation mode and restore the mode of every module on exit.

    The autocast cache is cleared on exit: weights cast without gradient would be reused by the training pass.
    """
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
        torch.clear_autocast_cache()


class ClassAttentionTap:
    """Read one attention value per patch from a forward pass without changing it.

    Forward hooks on the query and key projections compute the requested row in fp32 and without gradient. The fused
    attention kernel still runs, and no T x T map of the batch is created.

    Args:
        model: A classifier or backbone.
        attention: None for the class token's row in the last block, 'query_mean' for the mean over heads and patch
            queries there, the dotted name of an attention module, or ``dict(reading='query_mean',
            path='path.to.attn')``.
        head: Index of the head to read, or 'mean' over all heads.

    Raises:
        ValueError: If the model has no such attention.
    """

    def __init__(self, model: nn.Module, attention: str | dict | None = None, head: int | str = 'mean'):
        self.block = find_attention_block(model, attention)
        self._model, self._path, self.verified = model, parse_attention(attention)[1], False
        self._read = READINGS[self.block.reading] if head == 'mean' else lambda *args: class_row(*args, head)
        self._attached, self._outputs, self._row = ExitStack(), {}, None

    def attach(self, wanted: Callable[[], bool] = lambda: True) -> 'ClassAttentionTap':
        """Register the hooks; forward passes are ignored while ``wanted()`` is false."""
        self.release()
        # torch.compile reuses the code of one block for the next and by default does not check for hooks
        self._attached.enter_context(torch._dynamo.config.patch(skip_nnmodule_hook_guards=False))
        for name in self.block.projections:
            module, listener = getattr(self.block.attn, name), self._listener(name, wanted)
            self._attached.enter_context(module.register_forward_hook(listener))
        return self

    def read(self) -> Tensor | None:
        """Return (B, N) fp32 of the last forward pass and clear it; None if there was no pass."""
        row, self._row = self._row, None
        return row

    @torch.no_grad()
    def maps(self, forward: Callable[[], object], images: Tensor) -> Tensor:
        """Return (B, h, w) fp32 attention on the token grid, read from ``forward()`` of ``images`` (B, C, H, W).

        Raises:
            RuntimeError: If there is not one map per image, as in window attention.
        """
        self.attach()
        with self._attached:
            forward()
        count = 0 if (row := self.read()) is None else len(row)
        if count != len(images):
            raise RuntimeError(
                f'{type(self.block.attn).__name__} gave {count} attention maps for {len(images)} images: '
                'use attention= to name a module that attends over the whole image, not over windows'
            )
        return row.unflatten(1, self.block.grid(row.shape[1], tuple(images.shape[2:])))

    def release(self) -> None:
        """Remove the hooks and clear all stored tensors."""
        self._attached.close()
        self._outputs, self._row = {}, None

    def verify(self, forward: Callable[[], object]) -> None:
        """Check once that the attention reaches an output of the model, so that it is trained.

        One forward pass replaces the output of the class token, or with 'query_mean' of all tokens, by NaN. Unlike a
        gradient, NaN passes through weights that are still zero.

        Args:
            forward: Runs the model on an image in evaluation mode and returns its output.

        Raises:
            ValueError: If no output of the model depends on it.
        """
        if self.verified:
            return
        self.verified = True
        of_class = self.block.reading == 'class'
        if of_class and self._reaches(forward, slice(0, 1)):
            return
        used = self._reaches(forward, slice(None))
        if of_class or not used:
            raise untrained(self._model, self.block.attn, self._path, class_token=used)

    def _reaches(self, forward: Callable[[], object], tokens: slice) -> bool:
        """Return whether NaN in these rows reaches an output of the model; true if undecidable."""
        called = []

        @torch.compiler.disable
        def spoil(module, args, output):
            called.append(True)
            first, *others = output if isinstance(output, tuple) else (output,)
            first = first.clone()
            first[:, tokens] = torch.nan
            return (first, *others) if isinstance(output, tuple) else first

        with self.block.attn.register_forward_hook(spoil), torch.no_grad():
            outputs = [x for x in tree_leaves(forward()) if isinstance(x, Tensor) and x.is_floating_point()]
        self._outputs, self._row = {}, None
        return not (called and outputs) or any(bool(x.isnan().any()) for x in outputs)

    def _listener(self, name: str, wanted: Callable[[], bool]):
        @torch.compiler.disable  # stored state changes every step
        def listen(module, args, output):
            if not wanted():
                return
            self._outputs[name] = output.detach()
            if len(self._outputs) == len(self.block.projections):
                outputs, self._outputs = self._outputs, {}
                self._row = self._read(self.block, outputs)

        return listen
