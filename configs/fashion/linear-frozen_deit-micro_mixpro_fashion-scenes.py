# A 1x1 convolution on the frozen, normalized patch tokens of DeiT-micro from its MixPro checkpoint.
# Needs:    the checkpoint of deit-micro_mixpro_fashion.py, and the data of the config below
# Run:      mim train onedl-mmsegmentation configs/fashion/linear-frozen_deit-micro_mixpro_fashion-scenes.py
_base_ = 'segmenter_deit-micro_mixpro_fashion-scenes.py'

model = dict(
    backbone=dict(frozen_stages=4),
    decode_head=dict(
        _delete_=True,
        type='FCNHead',
        in_channels=64,
        channels=64,
        num_convs=0,
        concat_input=False,
        dropout_ratio=0.0,
        num_classes=11,
        loss_decode=dict(type='CrossEntropyLoss', class_weight=_base_.weights),
    ),
)
