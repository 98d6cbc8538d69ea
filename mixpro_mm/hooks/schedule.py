"""The learning rate of timm's ``CosineLRScheduler``, which MixPro, DeiT, PVT, CaiT and XCiT use in training."""

import math

from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmengine.optim.scheduler.param_scheduler import INF, _ParamScheduler

from mixpro_mm.registry import PARAM_SCHEDULERS, register
from mixpro_mm.utils.arguments import within

__all__ = ['TimmCosineLR']


@register(PARAM_SCHEDULERS)
class TimmCosineLR(LRSchedulerMixin, _ParamScheduler):
    """Decay the learning rate by one cosine over the whole training, with a linear warm-up at the beginning.

    At step t of T the base rate is multiplied by ``start_factor + (1 - start_factor) * t / warmup`` if t < ``warmup``,
    otherwise by ``eta_min_ratio + (1 - eta_min_ratio) * (1 + cos(pi * t / T)) / 2``. In mmengine, ``LinearLR`` followed
    by ``CosineAnnealingLR`` starts the cosine after the warm-up.

    Args:
        optimizer (OptimWrapper | Optimizer): Set by the runner.
        warmup (int): Epochs of warm-up (iterations with ``by_epoch=False``).
        start_factor (float): Ratio of the first rate to the base rate.
        eta_min_ratio (float): Ratio of the final rate to the base rate.
        **kwargs: ``begin``, ``end`` (T = ``end - begin``; the runner sets it to the length of the training),
            ``by_epoch`` and others, as in all mmengine schedulers.

    Raises:
        ValueError: If ``warmup`` is negative or not shorter than the schedule, or a ratio is not in [0, 1].
    """

    def __init__(self, optimizer, warmup: int = 0, start_factor: float = 1e-3, eta_min_ratio: float = 1e-2, **kwargs):
        self.warmup = warmup
        self.start_factor = within('start_factor of TimmCosineLR', start_factor, 0, 1)
        self.eta_min_ratio = within('eta_min_ratio of TimmCosineLR', eta_min_ratio, 0, 1)
        super().__init__(optimizer, **kwargs)
        if not 0 <= warmup < self.end - self.begin:
            unit, length = 'epochs' if self.by_epoch else 'iterations', self.end - self.begin
            raise ValueError(f'TimmCosineLR has a warmup of {warmup} {unit} in a schedule of {length}: shorten it')

    @classmethod
    def build_iter_from_epoch(cls, *args, epoch_length: int, warmup=0, begin=0, end=INF, by_epoch=True, **kwargs):
        """Build a scheduler that updates the rate each iteration, ``epoch_length`` times per epoch."""
        warmup, begin, end = (int(epochs * epoch_length) for epochs in (warmup, begin, end))
        return cls(*args, warmup=warmup, begin=begin, end=end, by_epoch=False, **kwargs)

    def load_state_dict(self, state_dict: dict) -> None:
        if 'warmup' not in state_dict:
            raise ValueError('the checkpoint has another learning rate schedule than TimmCosineLR: resume with its own')
        super().load_state_dict(state_dict)

    def _get_value(self) -> list[float]:
        step, total = self.last_step, self.end - self.begin
        if step < self.warmup:
            factor = self.start_factor + (1 - self.start_factor) * step / self.warmup
        else:
            factor = self.eta_min_ratio + (1 - self.eta_min_ratio) * (1 + math.cos(math.pi * step / total)) / 2
        return [value * factor for value in self.base_values]
