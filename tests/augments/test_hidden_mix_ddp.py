"""Two processes on one machine (gloo) mix hidden tokens, each with its own methods, layers and weights.

Run as a script, this file is one of the processes.
"""

import sys

import pytest
import torch

from mixpro_mm.augments import ManifoldMixup, MixToken
from tests.micro import STOCK, check_that_ranks_agree, train_on_a_rank

CLASSES, BATCH, BATCHES = 5, 4, 8


def one_rank(rank, folder):
    mixed = []

    def watched(kind, **settings):
        class Watched(kind):
            def mix_tokens(self, tokens, partners):
                found = super().mix_tokens(tokens, partners)
                mixed.append((kind.__name__, (found - tokens).abs().max().item()))
                return found

        return Watched(**settings)

    augments = [watched(ManifoldMixup), watched(MixToken, patch_size=8)]
    loss = dict(STOCK)  # a copy: the gradients of one rank cannot be repeated without its mixed tokens
    settings = dict(prepare=lambda _: dict(mixed=mixed), loss=loss)
    train_on_a_rank(rank, folder, dict(augments=augments), 'AreaLabeling', BATCHES, **settings)
    assert all(augment._bound is None for augment in augments)  # released


@pytest.mark.long
def test_ranks_agree_though_they_mix_different_layers(two_ranks):
    first, second = two_ranks(__file__)
    for seen in (first, second):
        assert BATCHES // 2 < len(seen['mixed']) <= len(seen['targets']) == BATCHES  # layer 0 are the images
        assert seen['hooks left'] == 0
        assert sum(change > 0 for _, change in seen['mixed']) > BATCHES // 2  # a box may have no token
        for target in seen['targets']:
            torch.testing.assert_close(target.sum(1), torch.ones(BATCH))
    assert torch.stack(first['targets'] + second['targets']).gt(0).sum(2).max() == 2
    assert first['mixed'] != second['mixed'] and {name for name, _ in first['mixed']} == {'ManifoldMixup', 'MixToken'}
    check_that_ranks_agree(first, second)


if __name__ == '__main__':
    one_rank(*sys.argv[1:])
