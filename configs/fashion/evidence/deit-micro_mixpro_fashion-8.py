# DeiT-micro with MixPro on eight classes of Fashion-MNIST, 2,560 images each. Dresses and sneakers are left out as
# unknown classes for a test: a garment and a shoe that resemble known classes (T-shirts and coats, sandals and ankle
# boots), but are more distinct than shirts, pullovers and coats, whose labels are ambiguous. Chosen before any result.
# Run:      mim train onedl-mmpretrain configs/fashion/evidence/deit-micro_mixpro_fashion-8.py
_base_ = '../deit-micro_mixpro_fashion.py'

classes = [0, 1, 2, 4, 5, 6, 8, 9]
data_preprocessor = dict(num_classes=8)
train_dataloader = dict(dataset=dict(dataset=dict(classes=classes)))
val_dataloader = test_dataloader = dict(dataset=dict(classes=classes))
model = dict(head=dict(num_classes=8))
