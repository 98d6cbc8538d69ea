"""What can be compared: each mixing method as a training config names it, and who labels its batches."""

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ['BASE', 'METHODS', 'USUAL', 'Method', 'method_names']

BASE = 'CutMix'  # what all ratios refer to


class Method(NamedTuple):
    """A mixing method in training.

    Args:
        augment: Entry of ``train_cfg.augments``; None mixes nothing.
        labeling: That of ``LabelingHook``; None does without the hook.
        patched: Whether the augment wants to know the patch size of the model.
        ema: Whether it needs the moving average of the model.
    """

    augment: dict | None
    labeling: str | None = None
    patched: bool = False
    ema: bool = False

    def config(self, patch_size: int, size: int = 224) -> dict | None:
        """A fresh entry of ``train_cfg.augments`` for a model of that patch size and square images of ``size`` pixels.

        The mask has the paper's 4 patches along a side unless that leaves fewer than 4 x 4 cells.
        """
        if self.augment is None:
            return None
        entry = {**self.augment, 'patch_size': patch_size} if self.patched else dict(self.augment)
        if entry['type'] in ('mixpro_mm.MaskMix', 'mixpro_mm.MixPro') and size <= 3 * 4 * patch_size:
            entry['mask_scale'] = max(size // (4 * patch_size), 1)
        return entry


AREA, ATTENTION, PAL = 'AreaLabeling', 'AttentionLabeling', 'ProgressiveAttentionLabeling'
METHODS = {
    'Baseline': Method(None),
    'Mixup': Method(dict(type='Mixup', alpha=0.8)),
    'GridMix': Method(dict(type='mixpro_mm.GridMix')),
    'CutMix': Method(dict(type='CutMix', alpha=1.0)),
    'AttentiveCutMix': Method(  # random weights take as long as trained ones
        dict(type='mixpro_mm.AttentiveCutMix', extractor='torchvision.resnet50', checkpoint=False)
    ),
    'SaliencyMix': Method(dict(type='mixpro_mm.SaliencyMix')),
    'PuzzleMix': Method(dict(type='mixpro_mm.PuzzleMix'), labeling=AREA),
    'TransMix': Method(dict(type='mixpro_mm.RegionMix'), labeling=ATTENTION),
    'TokenMix': Method(dict(type='mixpro_mm.TokenMix', teacher='ema'), labeling=AREA, patched=True, ema=True),
    'SMMix': Method(dict(type='mixpro_mm.SMMix'), labeling=AREA, patched=True),
    'BlockMix': Method(dict(type='mixpro_mm.BlockMix'), patched=True),
    'MaskMix': Method(dict(type='mixpro_mm.MaskMix'), patched=True),
    'MixPro': Method(dict(type='mixpro_mm.MixPro'), labeling=PAL, patched=True),
}
USUAL = ('Baseline', 'CutMix', 'TransMix', 'MaskMix', 'MixPro')


def method_names(wanted: Iterable[str]) -> list[str]:
    """The names in the order of the paper's table, each once; 'all' stands for every method.

    Raises:
        ValueError: for an unknown name, with the known ones.
    """
    wanted = list(wanted)
    if unknown := [name for name in wanted if name not in METHODS and name != 'all']:
        raise ValueError(f'method {unknown[0]!r} is unknown; known: {", ".join(METHODS)}, and all')
    return [name for name in METHODS if name in wanted or 'all' in wanted]
