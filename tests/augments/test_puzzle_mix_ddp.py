"""Two processes on one machine (gloo): input gradients do not affect the reduced gradients.

Run as a script, this file is one of the processes.
"""

import sys
from copy import deepcopy

import pytest
import torch

from mixpro_mm.augments.puzzle_mix import PuzzleMix
from tests.micro import KeepGradients, check_that_ranks_agree, train_on_a_rank

CLASSES, BATCH, BATCHES = 5, 4, 4


def one_rank(rank, folder):
    areas, held = [], []

    class Watched(PuzzleMix):
        def mix(self, images, scores, index):
            parameters = list(self._bound.parameters())
            grads = [parameter.grad for parameter in parameters]
            copies = deepcopy(grads)
            mixed, target = super().mix(images, scores, index)
            assert all(parameter.grad is grad for parameter, grad in zip(parameters, grads, strict=True))
            assert all(a is b is None or torch.equal(a, b) for a, b in zip(grads, copies, strict=True))
            held.append(sum(map(torch.is_tensor, grads)))
            areas.append(target.lam_area)
            return mixed, target

    augment = Watched(partner='flip', ratio='sample', blocks=(4, 8), eta=0.05, beta=0.1, t_eps=0.05)

    class Late(KeepGradients):
        def zero_grad(self, **kwargs):
            """Delayed: gradients are still set when the next batch is mixed."""

        def backward(self, loss, **kwargs):
            super().zero_grad()
            super().backward(loss, **kwargs)

    settings = dict(prepare=lambda _: dict(areas=areas, held=held), wrapper=Late)
    train_on_a_rank(rank, folder, dict(augments=augment), 'AttentionLabeling', BATCHES, **settings)
    assert augment._bound is None  # released


@pytest.mark.long
def test_ranks_agree_and_no_gradient_is_touched(two_ranks):
    first, second = two_ranks(__file__)
    for seen in (first, second):
        assert seen['held'] == [0] + [len(seen['parameters'])] * (BATCHES - 1)  # none before the first step
        assert len(seen['targets']) == len(seen['gradients']) == BATCHES
        for step, target in enumerate(seen['targets']):
            own = torch.eye(CLASSES)[(step * BATCH + torch.arange(BATCH)) % CLASSES]
            torch.testing.assert_close(target.sum(1), torch.ones(BATCH))
            assert not target[own + own.flip(0) == 0].any()
        assert torch.stack(seen['areas']).unique().numel() > 2
    assert any(map(torch.ne, map(sum, first['areas']), map(sum, second['areas'])))  # different images and masks
    check_that_ranks_agree(first, second)


if __name__ == '__main__':
    one_rank(*sys.argv[1:])
