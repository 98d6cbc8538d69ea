"""StripeMix, a mixing method of one's own: upright stripes of the partner, each as wide as a patch.

python docs/examples/own_method.py [EPOCHS]  trains DeiT-micro with it on the digits, labels weighed by attention.
"""

import sys
from pathlib import Path

from mmengine import Config
from mmengine.runner import Runner

from mixpro_mm.augments import MixAugment
from mixpro_mm.functional import random_mask
from mixpro_mm.registry import BATCH_AUGMENTS, register


@register(BATCH_AUGMENTS)
class StripeMix(MixAugment):
    def __init__(self, patch_size: int = 16, **settings):  # alpha, partner, ratio, prob
        super().__init__(**settings)
        self.patch_size = patch_size

    @property
    def mask_stride(self) -> int:  # mask edges are multiples of this; the hook compares it with the attention grid
        return self.patch_size

    def draw_mask(self, images, index):
        height, width = images.shape[2:]
        stripes = -(-width // self.patch_size)
        keep = (stripes * self.draw_ratio(len(images))).long()
        mask = random_mask(keep, (1, stripes), device=images.device).repeat_interleave(self.patch_size, dim=3)
        return mask[..., :width].expand(-1, -1, height, -1)  # (B, 1, H, W), true where the sample itself shows


if __name__ == '__main__':
    config = Config.fromfile(Path(__file__).parents[2] / 'configs/digits/deit-micro_mixpro_digits.py')
    config.model.train_cfg = dict(augments=[dict(type='mixpro_mm.StripeMix', patch_size=4)])
    config.train_cfg.max_epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 50  # 5 are warm-up
    config.work_dir = 'work_dirs/stripe_mix'
    Runner.from_cfg(config).train()
