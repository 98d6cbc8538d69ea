"""Two processes (gloo): each rank labels its own batches, and the gradients agree.

Run as a script, this file is one of the processes.
"""

import sys

import torch

from mixpro_mm.augments import MixPro
from mixpro_mm.labeling import ProgressiveAttentionLabeling
from tests.micro import check_that_ranks_agree, train_on_a_rank

CLASSES, BATCH, BATCHES = 5, 4, 2


class Keep(ProgressiveAttentionLabeling):
    """A labeling that keeps its weights."""

    by_area, weights = [], []

    def __call__(self, target, class_attention, grid, logits):
        weights = super().__call__(target, class_attention, grid, logits)
        self.by_area.append(target.blend())
        self.weights.append(torch.stack(weights))
        return weights


def test_every_rank_labels_its_own_batches_and_gradients_agree(two_ranks):
    first, second = two_ranks(__file__)
    for seen in (first, second):
        assert len(seen['targets']) == len(seen['gradients']) == BATCHES
        for step, (target, by_area) in enumerate(zip(seen['targets'], seen['by_area'], strict=True)):
            y = torch.eye(CLASSES)[(step * BATCH + torch.arange(BATCH)) % CLASSES]
            lam = seen['weights'][step][0][:, None]
            torch.testing.assert_close(target, lam * y + (1 - lam) * y.flip(0))
            assert (target - by_area).abs().amax(1).min() > 1e-4  # every sample got other labels than by area
        assert seen['hooks left'] == 0
    assert not torch.equal(first['weights'][0], second['weights'][0])  # other images, other masks
    check_that_ranks_agree(first, second)


if __name__ == '__main__':
    augment = MixPro(alpha=20.0, partner='flip', patch_size=8, mask_scale=1)
    kept = dict(by_area=Keep.by_area, weights=Keep.weights)
    train_on_a_rank(*sys.argv[1:], dict(augments=augment), Keep(), BATCHES, prepare=lambda _: kept)
