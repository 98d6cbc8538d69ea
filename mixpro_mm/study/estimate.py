"""What a stage costs, roughly, before anything was measured here.

The rule: training takes (images seen) x (multiply-adds of an image), at the pace at which the paper trained DeiT-S,
322 images/s at 224 px on one V100, forward and backward (its Table 2), DeiT-S counted with the 4.7 G of its Table 1.
Left out: other hardware and precision, how well an architecture uses a GPU, data loading, validation and tests.
"""

from mmengine.config import Config

from mixpro_mm.study.plan import Stage

__all__ = ['RULE', 'gpu_hours', 'images_seen']

IMAGES_PER_SECOND, GMACS = 322, 4.7
RULE = (
    'an estimate, not a measurement: images seen x multiply-adds of an image, at the pace of Table 2 of the paper '
    f'({IMAGES_PER_SECOND} images/s for DeiT-S, {GMACS} G, on one V100)'
)


def images_seen(stage: Stage, config: Config) -> int | None:
    """Images a training goes through, or None where the stage does not give ``train_images`` and the config epochs."""
    epochs = config.train_cfg.get('max_epochs')
    if epochs:
        return epochs * stage.train_images if stage.train_images else None
    return config.train_cfg.max_iters * config.train_dataloader.batch_size * (stage.gpus or 1)


def gpu_hours(stage: Stage, config: Config) -> float | None:
    """Hours on one V100, see the rule above; None for a stage that does not give its ``gmacs``."""
    images = images_seen(stage, config) if stage.gmacs else None
    return None if images is None else images * stage.gmacs / (IMAGES_PER_SECOND * GMACS * 3600)
