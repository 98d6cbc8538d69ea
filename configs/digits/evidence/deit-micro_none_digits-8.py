# The same recipe without mixing.
# Run:      mim train onedl-mmpretrain configs/digits/evidence/deit-micro_none_digits-8.py
_base_ = 'deit-micro_mixpro_digits-8.py'

model = dict(train_cfg=dict(_delete_=True))
custom_hooks = []
