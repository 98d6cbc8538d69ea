"""Patch of RandomBatchAugment, so that a config can be built more than once."""

import functools

__all__ = ['patch_random_batch_augment']


def patch_random_batch_augment() -> None:
    """Make ``RandomBatchAugment`` copy its argument ``probs``.

    mmpretrain appends the probability of "no augment" to the list it gets, so a second build from the same
    ``train_cfg`` fails.
    """
    from mmpretrain.models import RandomBatchAugment

    init = RandomBatchAugment.__init__

    @functools.wraps(init)
    def copying_init(self, augments, probs=None):
        init(self, augments, list(probs) if isinstance(probs, (list, tuple)) else probs)

    RandomBatchAugment.__init__ = copying_init
