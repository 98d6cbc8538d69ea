# Half Mixup, half CutMix of mmpretrain: the standard recipe.
# Run:      mim train onedl-mmpretrain configs/digits/evidence/pvt-micro_cutmix_digits-8.py
_base_ = 'pvt-micro_mixpro_digits-8.py'

model = dict(train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]))
custom_hooks = []
