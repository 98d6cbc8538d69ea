# DeiT-S on ImageNet-1k with TransMix: CutMix's box, its labels weighed half by area, half by class attention.
# Paper:    Table 1, DeiT-S + TransMix: top-1 80.7; not run here
# Run:      mim train onedl-mmpretrain configs/pretrain/deit-small_transmix_8xb128_in1k.py --gpus 8 --launcher pytorch
# The recipe is MixPro's. TransMix's own code has batch 256, weight decay 0.03, an EMA, no erasing, partners by flip.
_base_ = 'deit-small_mixup-cutmix_8xb128_in1k.py'

model = dict(train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.RegionMix', alpha=1.0)]))
custom_hooks = [dict(type='mixpro_mm.LabelingHook', labeling='AttentionLabeling')]
