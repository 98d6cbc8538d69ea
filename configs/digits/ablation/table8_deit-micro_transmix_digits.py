# TransMix: the borders of the box cut through patches.
# Paper:    Table 8, TransMix, DeiT-T: top-1 72.6 (ImageNet-1k)
# Run:      mim train onedl-mmpretrain configs/digits/ablation/table8_deit-micro_transmix_digits.py
_base_ = 'table2_deit-micro_transmix_digits.py'
