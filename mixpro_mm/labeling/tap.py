"""A tap on the projections of one attention block: attach, read, release."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from mixpro_mm.labeling.attention import find_attention_block, parse_attention, untrained, unused
from mixpro_mm.labeling.readers import class_heads

__all__ = ['ClassAttentionTap']

HOOK_GUARDS = 'skip_nnmodule_hook_guards'  # a private setting of torch._dynamo.config, which may go


class ClassAttentionTap:
    """Reads one attention value per patch off a forward pass without touching it.

    Forward hooks on the query and key projections of the last block compute the one row that labels need, in fp32 and
    without gradient: the class token's for B x T x C multiply-adds, the mean over queries for T times as many, piece
    by piece. The fused attention kernel runs as before and no T x T map of the batch exists.

    Args:
        model: A classifier or backbone.
        attention: What to read and where: None for the class token's row in the last block; 'query_mean' for the mean
            over heads and image queries there, which needs no class token; the dotted name of an attention module,
            where the model is not known; or ``dict(reading='query_mean', path='path.to.attn')``.
        head: Index of the head whose class token is read, or 'mean' over all heads.

    Raises:
        ValueError: if the model has no such attention.
    """

    def __init__(self, model: nn.Module, attention: str | dict | None = None, head: int | str = 'mean'):
        self.block = find_attention_block(model, attention)
        self._model, self._path, self.verified = model, parse_attention(attention)[1], False
        self._head, self._handles = head, []
        self._outputs: dict[str, Tensor] = {}
        self._row: Tensor | None = None
        self._wanted: Callable[[], bool] = lambda: True
        self._unguarded: bool | None = None  # what torch.compile was set to before

    def attach(self, wanted: Callable[[], bool] | None = None) -> 'ClassAttentionTap':
        """Start to listen; forward passes are ignored where ``wanted()`` says no."""
        self.release()
        self._wanted = wanted or (lambda: True)
        # torch.compile reuses one block's code for the next and, unless told, never looks whether that has a hook
        if hasattr(torch._dynamo.config, HOOK_GUARDS):
            self._unguarded = getattr(torch._dynamo.config, HOOK_GUARDS)
            setattr(torch._dynamo.config, HOOK_GUARDS, False)
        for name in self.block.projections:
            projection = getattr(self.block.attn, name)
            self._handles.append(projection.register_forward_hook(self._listener(name)))
        return self

    def read(self) -> Tensor | None:
        """(B, N) fp32, the row of the last forward pass, once; None if there was none."""
        row, self._row = self._row, None
        return row

    @torch.no_grad()
    def maps(self, forward: Callable[[], object], images: Tensor) -> Tensor:
        """(B, h, w) fp32 attention on the grid of the tokens, read off ``forward()`` of ``images`` (B, C, H, W) alone.

        Raises:
            RuntimeError: if there is not one map per image, as in attention over windows.
        """
        self.attach()
        try:
            forward()
            row = self.read()
        finally:
            self.release()
        count = 0 if row is None else len(row)
        if count != len(images):
            raise RuntimeError(
                f'{type(self.block.attn).__name__} gave {count} attention maps for {len(images)} images: name a module '
                'that attends over the whole image, not over windows of it, with attention='
            )
        return row.unflatten(1, self.block.grid(row.shape[1], tuple(images.shape[2:])))

    def release(self) -> None:
        """Remove every hook and forget everything."""
        if self._unguarded is not None:
            setattr(torch._dynamo.config, HOOK_GUARDS, self._unguarded)
            self._unguarded = None
        for handle in self._handles:
            handle.remove()
        self._handles, self._outputs, self._row = [], {}, None

    def verify(self, forward: Callable[[], object]) -> None:
        """Stop, once, if what is read reaches no output, so that nothing trains its attention.

        One forward pass in which what the class token gathers in that block is NaN, or for 'query_mean' the whole
        output of the block's attention: unlike a gradient, NaN passes weights that are still zero. It enters behind the
        fused kernel, which on a CPU may turn NaN into 0.

        Args:
            forward: Puts an image through the model, in evaluation mode, and returns what comes out.

        Raises:
            ValueError: if the output of the model does not depend on it.
        """
        if self.verified:
            return
        self.verified = True
        if self.block.reading == 'class' and self._reaches(forward, slice(0, 1)):
            return
        if not self._reaches(forward, slice(None)):
            raise unused(self._model, self.block.attn, self._path)
        if self.block.reading == 'class':
            raise untrained(self._model, self._path)

    def _reaches(self, forward: Callable[[], object], tokens: slice) -> bool:
        """Whether NaN in these rows of the attention's output comes out of the model; true if it cannot be said."""
        called = []

        @torch.compiler.disable
        def spoil(module, args, output):
            called.append(True)
            first, *others = output if isinstance(output, tuple) else (output,)
            first = first.clone()
            first[:, tokens] = torch.nan
            return (first, *others) if isinstance(output, tuple) else first

        handle = self.block.attn.register_forward_hook(spoil)
        try:
            with torch.no_grad():
                outputs = [x for x in tree_leaves(forward()) if isinstance(x, Tensor) and x.is_floating_point()]
        finally:
            handle.remove()
            self._outputs, self._row = {}, None
        return not (called and outputs) or any(bool(x.isnan().any()) for x in outputs)

    def _listener(self, name: str):
        @torch.compiler.disable  # what is kept here changes from step to step
        def listen(module, args, output):
            if not self._wanted():
                return
            self._outputs[name] = output.detach()
            if len(self._outputs) == len(self.block.projections):
                outputs, self._outputs = self._outputs, {}
                mean = self._head == 'mean'
                self._row = self.block.read(outputs) if mean else class_heads(self.block, outputs)[:, self._head]

        return listen
