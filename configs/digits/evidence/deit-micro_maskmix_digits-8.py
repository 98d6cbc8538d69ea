# MaskMix with area labels: MixPro without progressive attention labeling.
# Run:      mim train onedl-mmpretrain configs/digits/evidence/deit-micro_maskmix_digits-8.py
_base_ = 'deit-micro_mixpro_digits-8.py'

mask_mix = dict(type='mixpro_mm.MaskMix', patch_size=4, mask_scale=2)
model = dict(train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), mask_mix]))
custom_hooks = []
