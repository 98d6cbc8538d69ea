# DeiT-micro on the digits 0 to 7 with MixPro, 25 epochs: one row of the evidence study. 8 and 9 stay unseen, for tests
# of what a model says of classes it does not know: 1,158 train and 285 test images.
# Run:      mim train onedl-mmpretrain configs/digits/evidence/deit-micro_mixpro_digits-8.py
# Batches of 32, because at 64 these epochs are too few steps: models trained with mixing were then far from their end.
_base_ = '../deit-micro_mixpro_digits.py'

classes = list(range(8))
data_preprocessor = dict(num_classes=8)
train_dataloader = dict(batch_size=32, dataset=dict(classes=classes))
val_dataloader = dict(dataset=dict(classes=classes))
test_dataloader = val_dataloader
model = dict(head=dict(num_classes=8))
train_cfg = dict(max_epochs=25)
default_hooks = dict(logger=dict(interval=36), checkpoint=dict(max_keep_ckpts=1))
