# PVT-micro on the digits 0 to 7 with MixPro, 20 epochs at 64 px: one row of the evidence study.
# Run:      mim train onedl-mmpretrain configs/digits/evidence/pvt-micro_mixpro_digits-8.py
_base_ = '../pvt-micro_mixpro_digits.py'

classes = list(range(8))
data_preprocessor = dict(num_classes=8)
train_dataloader = val_dataloader = test_dataloader = dict(dataset=dict(classes=classes))
model = dict(head=dict(num_classes=8))
train_cfg = dict(max_epochs=20, val_interval=20)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=1))
