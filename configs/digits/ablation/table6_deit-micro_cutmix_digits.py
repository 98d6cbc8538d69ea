# The standard set-up: half Mixup, half CutMix.
# Paper:    Table 6, CutMix, DeiT-S: top-1 79.8 (ImageNet-1k)
# Run:      mim train onedl-mmpretrain configs/digits/ablation/table6_deit-micro_cutmix_digits.py
_base_ = 'table2_deit-micro_cutmix_digits.py'
