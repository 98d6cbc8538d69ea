# TransMix instead of CutMix: box of CutMix, labels half by area, half by class attention.
# Run:      mim train onedl-mmpretrain configs/digits/evidence/deit-micro_transmix_digits-8.py
_base_ = 'deit-micro_mixpro_digits-8.py'

model = dict(train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.RegionMix', alpha=1.0)]))
custom_hooks = [dict(type='mixpro_mm.LabelingHook', labeling='AttentionLabeling')]
