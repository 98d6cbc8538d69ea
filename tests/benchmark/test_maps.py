"""Labelling does not add an attention map to a training step, neither as a result nor saved for backward."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from mixpro_mm.benchmark.workbench import Session, Workbench

SHAPES = {(145, 145), (144, 144)}  # patches of 4 px in an image of 48 px, with and without the class token


class Maps(TorchDispatchMode):
    """Collects the operators whose results have the shape of an attention map."""

    def __init__(self):
        super().__init__()
        self.origins = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        return tree_map(lambda value: self.look(str(func), value), result)

    def look(self, origin, value):
        if isinstance(value, torch.Tensor) and tuple(value.shape[-2:]) in SHAPES:
            self.origins.add(origin)
        return value


def maps_of_a_step(session):
    maps = Maps()
    with torch.autograd.graph.saved_tensors_hooks(lambda value: maps.look('saved', value), lambda value: value), maps:
        session.step()
    return maps.origins


@pytest.mark.parametrize('name', ['CutMix', 'TransMix', 'MixPro'])
def test_attention_maps_exist_only_with_the_math_kernel(name, settings):
    settings.size = 48
    session = Session(Workbench(settings), name)
    assert maps_of_a_step(session) == set()
    with sdpa_kernel(SDPBackend.MATH):
        assert {'aten._softmax_backward_data.default', 'saved'} <= maps_of_a_step(session)
