# PVT-micro (four stages of 32 to 256 channels) with MixPro: half the batches Mixup, half MixPro.
_base_ = 'micro_backbones.py'

model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mixpro_mm.PVT',
        arch=_base_.pvt_micro,
        img_size=64,
    ),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=256,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
    train_cfg=dict(
        augments=[dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.MixPro', patch_size=32, mask_scale=1)],
        probs=[0.5, 0.5],
    ),
)
