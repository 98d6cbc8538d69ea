"""Two processes on one machine (gloo), one without batches mixed by this package: loss parameters agree.

Run as a script, this file is one of the processes.
"""

import sys

import pytest
import torch
from mmpretrain.models import Mixup

from tests.micro import STOCK, check_that_ranks_agree, mixpro, train_on_a_rank

BATCHES = 3


def one_rank(rank, folder):
    alone = []  # gradient of the factor before averaging over ranks

    def prepare(model):
        model.head.loss_module.loss.raw_factor.register_hook(lambda gradient: alone.append(gradient.clone()))
        return dict(own=alone)

    loss = dict(type='mixpro_mm.LearnableFactor', loss=STOCK, init=0.3)
    loss = dict(type='mixpro_mm.LocalContextLoss', loss=loss, in_channels=32, num_classes=5, grid=2)
    augments = [mixpro(), Mixup(alpha=0.8)]
    train_cfg = dict(augments=augments, probs=[1.0 - int(rank), float(rank)])
    labeling = dict(type='ProgressiveAttentionLabeling', factor='learnable')
    train_on_a_rank(rank, folder, train_cfg, labeling, BATCHES, loss, prepare, optimizer=torch.optim.AdamW)


@pytest.mark.long
def test_a_rank_without_mixed_batches_does_not_block(two_ranks):
    mixed, other = two_ranks(__file__)
    factor, classifier = 'head.loss_module.loss.raw_factor', 'head.loss_module.classifier.weight'
    assert len(mixed['gradients']) == BATCHES
    check_that_ranks_agree(mixed, other)
    for step, gradients in enumerate(mixed['gradients']):
        assert other['own'][step].item() == 0
        assert mixed['own'][step].abs().item() > 1e-7
        torch.testing.assert_close(gradients[factor], mixed['own'][step] / 2)
        assert gradients[classifier].abs().max() > 1e-5
    assert (mixed['parameters'][factor] - torch.logit(torch.tensor([0.3]))).abs().item() > 1e-2


if __name__ == '__main__':
    one_rank(*sys.argv[1:])
