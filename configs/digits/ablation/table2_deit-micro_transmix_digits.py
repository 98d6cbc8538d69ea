# TransMix in place of CutMix: CutMix's box, labels half by area, half by class attention.
# Paper:    Table 2, TransMix, DeiT-S: top-1 80.7 (ImageNet-1k)
# Run:      mim train onedl-mmpretrain configs/digits/ablation/table2_deit-micro_transmix_digits.py
_base_ = '../deit-micro_mixpro_digits.py'

model = dict(train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.RegionMix', alpha=1.0)]))
custom_hooks = [dict(type='mixpro_mm.LabelingHook', labeling='AttentionLabeling')]
