# The CNN that shows Attentive-CutMix where to look on the digits, defined once for its training and for its use.
# Its last map has 4 x 4 positions at 32 px.
resnet_micro = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet_CIFAR', depth=18, stem_channels=8, base_channels=8),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=10, in_channels=64),
)
