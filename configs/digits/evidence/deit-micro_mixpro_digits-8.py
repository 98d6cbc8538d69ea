# DeiT-micro on the digits 0 to 7 with MixPro, 25 epochs: one row of the evidence study. 1,158 train and 285 test
# images; 8 and 9 are left out as unknown classes for the tests.
# Run:      mim train onedl-mmpretrain configs/digits/evidence/deit-micro_mixpro_digits-8.py
# The batch size is 32, because with 64 models trained with mixing do not converge in 25 epochs.
_base_ = '../deit-micro_mixpro_digits.py'

classes = list(range(8))
data_preprocessor = dict(num_classes=8)
val_dataloader = test_dataloader = dict(dataset=dict(classes=classes))
train_dataloader = dict(batch_size=32, **val_dataloader)
model = dict(head=dict(num_classes=8))
train_cfg = dict(max_epochs=25)
default_hooks = dict(logger=dict(interval=36), checkpoint=dict(max_keep_ckpts=1))
