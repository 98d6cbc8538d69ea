# Labels by area under the mask of CutMix: one box.
# Paper:    Table 7, region, DeiT-T: top-1 72.2, DeiT-S: top-1 79.8 (ImageNet-1k)
# Run:      mim train onedl-mmpretrain configs/digits/ablation/table7_deit-micro_region_digits.py
_base_ = 'table2_deit-micro_cutmix_digits.py'
