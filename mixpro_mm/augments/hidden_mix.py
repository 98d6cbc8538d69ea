"""Base class of the methods that mix hidden tokens of the model."""

from abc import abstractmethod
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from mixpro_mm.augments.base import MixAugment
from mixpro_mm.utils.backbone_spec import find_backbone

__all__ = ['HiddenMix']


class HiddenMix(MixAugment):
    """Leave the images as they are and mix tokens in the next forward pass of the bound model.

    Forward hooks on modules of the backbone mix the output of the one that :meth:`mix` chose. In a training loop
    without ``LabelingHook``, call ``bind(model)`` before and ``pop_target()`` after the forward pass. Gradient
    checkpointing of these modules is not supported.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._chosen: tuple[nn.Module, Tensor] | None = None  # module and partners of the batch to mix

    @abstractmethod
    def modules_of(self, backbone: nn.Module) -> list[nn.Module]:
        """Return the modules whose output, tokens (B, N, C) or a tuple that starts with them, may be mixed."""

    @abstractmethod
    def mix_tokens(self, tokens: Tensor, partners: Tensor) -> Tensor:
        """Mix tokens (B, N, C) with those of the partners, of the same shape, by the pending target."""

    def bind(self, model: nn.Module, ema: nn.Module | None = None) -> None:
        self.unbind()
        modules, stack = self.modules_of(find_backbone(model)), ExitStack()
        # torch.compile reuses the code of one block for the next and by default does not check for hooks
        stack.enter_context(torch._dynamo.config.patch(skip_nnmodule_hook_guards=False))
        for module in modules:
            stack.enter_context(module.register_forward_hook(self._replace))
        self._bound = modules, stack

    def discard(self) -> None:
        self._chosen = None
        super().discard()

    def unbind(self) -> None:
        if self._bound is not None:
            self._bound[1].close()
        self._chosen = None
        super().unbind()

    def __getstate__(self) -> dict:
        return {**super().__getstate__(), '_chosen': None}

    def choose(self, number: int, index: Tensor) -> None:
        """Mix the output of module ``number`` with those of the partners ``index`` (B,) in the next forward pass.

        Raises:
            RuntimeError: If the method is not bound, or the tokens of the last batch were not mixed.
        """
        modules, _ = self._require_bound()
        if self._chosen is not None:
            name = type(self._chosen[0]).__name__
            raise RuntimeError(f'tokens of the last batch were not mixed: the forward pass did not call {name}')
        self._chosen = modules[number], index

    @torch.compiler.disable  # the chosen module changes from step to step
    def _replace(self, module: nn.Module, args, output):
        if self._chosen is None or module is not self._chosen[0] or not self.pending:
            return None
        (_, index), self._chosen = self._chosen, None
        tokens, *others = output if isinstance(output, tuple) else (output,)
        mixed = self.mix_tokens(tokens, tokens[index])
        return (mixed, *others) if isinstance(output, tuple) else mixed
