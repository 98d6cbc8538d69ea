# ResNet-micro on 5,120 images of Fashion-MNIST, without mixing: the CNN that filters FashionA, as a ResNet-50 filtered
# ImageNet-A. Its results are stored in mixpro_mm/datasets/filtered_fashion.json.
# Run:      mim train onedl-mmpretrain configs/fashion/evidence/filter_resnet-micro_fashion.py
# Then:     python -m mixpro_mm.datasets.filtered_fashion configs/fashion/evidence/filter_resnet-micro_fashion.py work_dirs/filter_resnet-micro_fashion/epoch_30.pth OUT.json
_base_ = '../../_base_/fashion_mnist.py'

model = dict(  # the last map is 4 x 4
    type='ImageClassifier',
    backbone=dict(type='ResNet_CIFAR', depth=18, stem_channels=8, base_channels=8),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=10, in_channels=64),
)
train_dataloader = dict(dataset=dict(dataset=dict(num_images=5120)))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=True, end=5, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=True, begin=5, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=30, val_interval=30)
randomness = dict(seed=0)
