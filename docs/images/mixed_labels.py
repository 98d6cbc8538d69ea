"""Draw docs/images/mixed_labels.png: one mixed label, on two test digits and the DeiT of configs/digits/study_demo.py.

python docs/images/mixed_labels.py work_dirs/demo/deit_mixpro/epoch_50.pth
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from mmpretrain import get_model
from mmpretrain.structures import DataSample

from mixpro_mm.datasets import Digits
from mixpro_mm.functional import MixedTarget, attention_lam, combine, cosine_factor, random_mask, to_pixels
from mixpro_mm.labeling import ClassAttentionTap

FOLDER = Path(__file__).resolve().parent
CONFIG = FOLDER.parents[1] / 'configs/digits/deit-micro_mixpro_digits.py'
DIGITS, SEED = (3, 6), 1  # the first test scan of each; the seed of the mask
CELL, CELLS, TOKENS = 8, (4, 4), (8, 8)
COLORS = '#0072B2', '#E69F00'  # of the two images: Okabe and Ito


def main(checkpoint: str) -> None:
    model = get_model(str(CONFIG), checkpoint, device='cpu', train_cfg=None)
    items = {item['gt_label']: item['img'] for item in reversed([*Digits('test')])}
    inputs = [torch.from_numpy(items[digit]).permute(2, 0, 1) for digit in DIGITS]
    data = dict(inputs=inputs, data_samples=[DataSample().set_gt_label(digit) for digit in DIGITS])
    images = model.data_preprocessor(data)['inputs']
    scores = torch.eye(10)[list(DIGITS)]

    keep = torch.tensor([CELLS[0] * CELLS[1] // 2])
    cells = random_mask(keep, CELLS, generator=torch.Generator().manual_seed(SEED))
    target = MixedTarget(scores[:1], scores[1:], to_pixels(cells, CELL, images.shape[2:]))
    mixed = torch.where(target.mask, images[:1], images[1:])
    tap = ClassAttentionTap(model).attach()
    with torch.no_grad():
        logits = model(mixed)
    attention = tap.read()
    tap.release()
    lam_attn = attention_lam(attention, target.mask, TOKENS)
    factor = cosine_factor(logits, target.blend())
    lam = combine(target.lam_area, lam_attn, factor)
    draw(images, target.mask[0, 0], mixed[0], attention.view(TOKENS), float(target.lam_area), float(lam))
    print(f'area {float(target.lam_area):.3f}, attention {float(lam_attn):.3f}, factor {float(factor):.3f}')


def draw(images, mask, mixed, attention, before: float, after: float) -> None:
    plt.rcParams.update({'font.size': 9, 'font.family': 'DejaVu Sans'})
    figure, axes = plt.subplots(1, 6, figsize=(9.6, 2.1), width_ratios=(1, 1, 1, 1, 1, 1.35), layout='constrained')
    gray = [image.mean(0).numpy() for image in (*images, mixed)]
    limits = dict(vmin=min(map(np.min, gray)), vmax=max(map(np.max, gray)))
    panels = gray[0], gray[1], mask.float().numpy(), gray[2], gray[2]
    titles = f"image, '{DIGITS[0]}'", f"partner, '{DIGITS[1]}'", 'mask', 'mixed image', 'class attention'
    for axis, panel, title in zip(axes, panels, titles, strict=False):
        axis.imshow(panel, cmap='gray', **({} if title == 'mask' else limits))
        axis.set(title=title, xticks=[], yticks=[])
    heat = np.kron(attention.numpy(), np.ones((CELL // 2, CELL // 2)))
    axes[4].imshow(heat, cmap='magma', alpha=0.65)
    for axis, color in zip(axes[:2], COLORS, strict=True):
        axis.spines[:].set(color=color, linewidth=3)
    for place, (name, lam) in enumerate((('by area', before), ('by attention', after))):
        axes[5].barh(1 - place, lam, color=COLORS[0], height=0.5)
        axes[5].barh(1 - place, 1 - lam, left=lam, color=COLORS[1], height=0.5)
        for start, share, digit in ((0, lam, DIGITS[0]), (lam, 1 - lam, DIGITS[1])):
            axes[5].text(
                start + share / 2, 1 - place, f"'{digit}'\n{share:.2f}", ha='center', va='center', color='white'
            )
        axes[5].text(0, 1.3 - place, f'label {name}', va='bottom')
    axes[5].set(xlim=(0, 1), ylim=(-0.3, 1.7), title=' ')
    axes[5].axis('off')
    figure.savefig(FOLDER / 'mixed_labels.png', dpi=200, metadata=dict(Software=None))


if __name__ == '__main__':
    main(sys.argv[1])
