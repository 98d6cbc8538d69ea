# The recipe without CutMix: Mixup on every batch.
# Paper:    Table 2, Baseline, DeiT-S: top-1 78.6 (ImageNet-1k)
# Run:      mim train onedl-mmpretrain configs/digits/ablation/table2_deit-micro_baseline_digits.py
# Unverified: what the baseline mixes; that Mixup stays follows Table 6, where it is "default used".
_base_ = 'table2_deit-micro_cutmix_digits.py'

model = dict(train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8)], probs=[1.0]))
