"""Patch of RandomBatchAugment, so that a config can be built more than once."""

import functools

from mmpretrain.models import RandomBatchAugment

__all__ = ['patch_random_batch_augment']


def patch_random_batch_augment() -> None:
    """Make ``RandomBatchAugment`` copy its argument ``probs``.

    mmpretrain appends the probability of "no augment" to the list it gets, so a second build from the same
    ``train_cfg`` fails. An entry appended by an earlier build is removed.
    """
    init = RandomBatchAugment.__init__

    @functools.wraps(init)
    def copying_init(self, augments, probs=None):
        if isinstance(probs, (list, tuple)):
            count = len(augments) if isinstance(augments, (list, tuple)) else 1
            appended = len(probs) == count + 1 and abs(sum(probs) - 1) < 1e-6
            probs = list(probs[:count] if appended else probs)
        init(self, augments, probs)

    RandomBatchAugment.__init__ = copying_init
