# Half Mixup, half CutMix of the host: the standard recipe.
# Paper:    Table 2, CutMix, DeiT-S: top-1 79.8 (ImageNet-1k)
# Run:      mim train onedl-mmpretrain configs/digits/ablation/table2_deit-micro_cutmix_digits.py
_base_ = '../deit-micro_mixpro_digits.py'

model = dict(train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]))
custom_hooks = []
