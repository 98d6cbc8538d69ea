# The recipe without CutMix: Mixup for every batch.
# Paper:    Table 2, Baseline, DeiT-S: top-1 78.6; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/table2_deit-small_baseline_8xb128_in1k.py --gpus 8 --launcher pytorch
# Unverified: the mixing of the baseline; Mixup is "default used" in Table 6.
_base_ = '../pretrain/deit-small_mixup-cutmix_8xb128_in1k.py'

model = dict(train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8)], probs=[1.0]))
