"""One mend in the host, without which a config can be built only once."""

import functools

from mmpretrain.models import RandomBatchAugment

__all__ = ['mend_random_batch_augment']


def mend_random_batch_augment() -> None:
    """Let ``RandomBatchAugment`` leave the caller's ``probs`` alone.

    The host appends the probability of "no augment" to the very list it was given, so a second build from the same
    ``train_cfg`` fails (3 probabilities for 2 augments). Here it works on a copy; an entry that an earlier build
    appended is recognised (one too many, all adding up to one) and left out.
    """
    init = RandomBatchAugment.__init__
    if getattr(init, '_works_on_a_copy', False):
        return

    @functools.wraps(init)
    def init_on_a_copy(self, augments, probs=None):
        if isinstance(probs, (list, tuple)):
            count = len(augments) if isinstance(augments, (list, tuple)) else 1
            appended = len(probs) == count + 1 and abs(sum(probs) - 1) < 1e-6
            probs = list(probs[:count] if appended else probs)
        init(self, augments, probs)

    init_on_a_copy._works_on_a_copy = True
    RandomBatchAugment.__init__ = init_on_a_copy
