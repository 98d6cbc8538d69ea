"""Is an attention map ever stored? Every tensor of a training step is looked at as it is made or kept for later."""

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ['MapDetector', 'attention_shapes']

PROJECTIONS = ('qkv', 'q', 'kv', 'k')


class MapDetector(TorchDispatchMode):
    """While entered, counts tensors whose last two dimensions are queries x keys of an attention module.

    Operators are seen below autograd, in forward and backward passes; a fused kernel is one operator, and what it keeps
    to itself is not seen. Tensors saved for the backward pass are seen once more by a hook of their own.

    Args:
        shapes: (queries, keys) to look for, as of :func:`attention_shapes`.
    """

    def __init__(self, shapes: set[tuple[int, int]]):
        super().__init__()
        self.shapes = shapes
        self.found: list[tuple[str, tuple[int, ...]]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            self._look(str(func), value)
        return result

    def __enter__(self):
        self._saved = torch.autograd.graph.saved_tensors_hooks(self._keep, lambda tensor: tensor)
        self._saved.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self._saved.__exit__(*error)

    def _keep(self, tensor: Tensor) -> Tensor:
        self._look('saved for backward', tensor)
        return tensor

    def _look(self, origin: str, value) -> None:
        if isinstance(value, Tensor) and tuple(value.shape[-2:]) in self.shapes:
            self.found.append((origin, tuple(value.shape)))


def attention_shapes(model: nn.Module, images: Tensor) -> set[tuple[int, int]]:
    """(queries, keys) of every attention module in ``model``, with and without one token before the patches.

    The height and width of the images themselves are left out, in case they are the same two numbers.

    Args:
        model: whose attention modules have ``num_heads`` and linear layers qkv, or q and kv or k.
        images: (B, C, H, W) to find the sizes with, in one forward pass without gradient.

    Raises:
        ValueError: if no such module takes part.
    """
    tokens: dict[nn.Module, dict[str, int]] = {}
    handles = []
    for module in model.modules():
        for name in PROJECTIONS if hasattr(module, 'num_heads') else ():
            if isinstance(projection := getattr(module, name, None), nn.Module):
                sizes = tokens.setdefault(module, {})
                note = lambda layer, args, out, sizes=sizes, name=name: sizes.update({name: out.shape[1]})  # noqa: E731
                handles.append(projection.register_forward_hook(note))
    with torch.no_grad():
        model(images, mode='tensor')
    for handle in handles:
        handle.remove()
    shapes = set()
    for sizes in filter(None, tokens.values()):
        queries, keys = sizes.get('qkv', sizes.get('q')), sizes.get('qkv', sizes.get('kv', sizes.get('k')))
        shapes |= {(queries, keys), (queries - 1, keys - 1)}
    if not shapes:
        raise ValueError(f'{type(model).__name__} has no attention module whose map could be looked for')
    return {shape for shape in shapes if min(shape) > 1} - {tuple(images.shape[-2:])}
