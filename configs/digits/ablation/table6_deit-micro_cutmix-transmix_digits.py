# CutMix's box with TransMix's labels.
# Paper:    Table 6, CutMix + TransMix, DeiT-S: top-1 80.7 (ImageNet-1k)
# Run:      mim train onedl-mmpretrain configs/digits/ablation/table6_deit-micro_cutmix-transmix_digits.py
_base_ = 'table2_deit-micro_transmix_digits.py'
