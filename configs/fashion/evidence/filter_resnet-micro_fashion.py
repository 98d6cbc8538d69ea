# ResNet-micro on Fashion-MNIST, without mixing: the CNN that filters FashionA, as a ResNet-50 filtered ImageNet-A. Its
# results are stored in mixpro_mm/datasets/filtered_fashion.json.
# Run:      mim train onedl-mmpretrain configs/fashion/evidence/filter_resnet-micro_fashion.py
# Then:     python -m mixpro_mm.datasets.filtered_fashion configs/fashion/evidence/filter_resnet-micro_fashion.py work_dirs/filter_resnet-micro_fashion/epoch_30.pth OUT.json
_base_ = '../../_base_/fashion_mnist.py'

model = dict(  # the last map is 4 x 4
    type='ImageClassifier',
    backbone=dict(type='ResNet_CIFAR', depth=18, stem_channels=8, base_channels=8),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=10, in_channels=64),
)
train_cfg = dict(max_epochs=30)
randomness = dict(seed=0)
