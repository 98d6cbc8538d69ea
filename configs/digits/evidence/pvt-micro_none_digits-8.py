# The same recipe without mixing.
# Run:      mim train onedl-mmpretrain configs/digits/evidence/pvt-micro_none_digits-8.py
_base_ = 'pvt-micro_mixpro_digits-8.py'

model = dict(train_cfg=dict(_delete_=True))
custom_hooks = []
