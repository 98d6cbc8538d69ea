# ResNet-micro on the digits, without mixing: the extractor of Attentive-CutMix, trained by study_ablation.py.
# Run:      mim train onedl-mmpretrain configs/digits/extractor_resnet-micro_digits.py
# Result:   top-1 99.2, seed not fixed
_base_ = '../_base_/digits.py'

model = dict(  # the last map is 4 x 4 at 32 px
    type='ImageClassifier',
    backbone=dict(type='ResNet_CIFAR', depth=18, stem_channels=8, base_channels=8),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=10, in_channels=64),
)
train_cfg = dict(max_epochs=15)
