# DeiT-micro (64 channels, 4 layers, patch 4) with MixPro: half the batches Mixup, half MixPro.
_base_ = 'micro_backbones.py'

model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='VisionTransformer',
        arch=_base_.deit_micro,
        img_size=32,
        patch_size=4,
    ),
    head=dict(
        type='VisionTransformerClsHead',
        num_classes=10,
        in_channels=64,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
    train_cfg=dict(
        augments=[dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.MixPro', patch_size=4, mask_scale=2)],
        probs=[0.5, 0.5],
    ),
)
