"""The learning rate of timm's ``CosineLRScheduler``, by which the released MixPro, DeiT, PVT, CaiT and XCiT train."""

import math

from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmengine.optim.scheduler.param_scheduler import INF, _ParamScheduler

from mixpro_mm.registry import PARAM_SCHEDULERS, register

__all__ = ['TimmCosineLR']


@register(PARAM_SCHEDULERS)
class TimmCosineLR(LRSchedulerMixin, _ParamScheduler):
    """One cosine over the whole training, with a linear warm-up in place of its beginning.

    At step t of T the rate is its base value times ``start_factor + (1 - start_factor) * t / warmup`` below ``warmup``,
    then times ``eta_min_ratio + (1 - eta_min_ratio) * (1 + cos(pi * t / T)) / 2``. mmengine's ``LinearLR`` followed by
    ``CosineAnnealingLR`` starts the cosine where the warm-up ends instead. Both ratios are of the rate of each
    parameter group, so they follow ``auto_scale_lr`` and layer-wise rates. The rate is set, not multiplied: do not
    combine it with other schedulers of the rate.

    Args:
        optimizer (OptimWrapper | Optimizer): Given by the runner.
        warmup (int): Epochs of warm-up (iterations with ``by_epoch=False``); 0 for none.
        start_factor (float): Rate of the first step, as a ratio.
        eta_min_ratio (float): Rate at the end, as a ratio.
        begin (int): First step of the schedule.
        end (int): Its end, so that T is ``end - begin``; the runner gives the length of the training.
        by_epoch (bool): A new rate each epoch; with ``convert_to_iter_based=True`` in the config, each iteration.
        last_step, verbose: As in all schedulers of mmengine.

    Raises:
        ValueError: If ``warmup`` is negative or not shorter than the schedule, or a ratio is not in [0, 1].
    """

    def __init__(
        self,
        optimizer,
        warmup: int = 0,
        start_factor: float = 1e-3,
        eta_min_ratio: float = 1e-2,
        begin: int = 0,
        end: int = INF,
        last_step: int = -1,
        by_epoch: bool = True,
        verbose: bool = False,
    ):
        _check(warmup, end - begin, 'epochs' if by_epoch else 'iterations')
        for name, ratio in (('start_factor', start_factor), ('eta_min_ratio', eta_min_ratio)):
            if not 0 <= ratio <= 1:
                raise ValueError(f'TimmCosineLR takes a {name} in [0, 1], not {ratio}')
        self.warmup, self.start_factor, self.eta_min_ratio = warmup, start_factor, eta_min_ratio
        super().__init__(optimizer, begin, end, last_step, by_epoch, verbose)

    @classmethod
    def build_iter_from_epoch(
        cls, *args, epoch_length: int, warmup: int = 0, begin: int = 0, end: int = INF, by_epoch: bool = True, **kwargs
    ) -> 'TimmCosineLR':
        """The schedule of these epochs of ``epoch_length`` iterations, with a new rate each iteration."""
        _check(warmup, end - begin, 'epochs')
        warmup, begin, end = (int(epochs * epoch_length) for epochs in (warmup, begin, end))
        return cls(*args, warmup=warmup, begin=begin, end=end, by_epoch=False, **kwargs)

    def load_state_dict(self, state_dict: dict) -> None:
        """As in mmengine, which would also load the state of another class, and with it the end of its warm-up.

        Raises:
            ValueError: If the state is not of this class.
        """
        if 'warmup' not in state_dict:
            raise ValueError(
                'the checkpoint has another schedule of the learning rate than TimmCosineLR: resume with the '
                'param_scheduler it was trained with, or start from its weights by load_from without resume'
            )
        super().load_state_dict(state_dict)

    def _get_value(self) -> list[float]:
        step, total = self.last_step, self.end - self.begin
        if step < self.warmup:
            factor = self.start_factor + (1 - self.start_factor) * step / self.warmup
        else:
            factor = self.eta_min_ratio + (1 - self.eta_min_ratio) * (1 + math.cos(math.pi * step / total)) / 2
        return [value * factor for value in self.base_values]


def _check(warmup: int, length: int, unit: str) -> None:
    if not 0 <= warmup < length:
        raise ValueError(
            f'TimmCosineLR has a warmup of {warmup} {unit} in a schedule of {length}: set its warmup in '
            'param_scheduler to 0 or to less than that'
        )
