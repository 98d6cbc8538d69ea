# Mask R-CNN on plain DeiT-S from MixPro pre-training: maps of blocks 3, 6, 9 and 12, all of stride 16, become strides 4
# to 32 by transposed convolution and pooling before the FPN, as in BEiT and XCiT. Without this step an FPN accepts the
# four maps, but its strides are wrong. Attention is global, so memory grows with the square of the image area.
# Paper:    not in the paper; not run here
# Needs:    the checkpoint of configs/pretrain/deit-small_mixpro_8xb128_in1k.py, and data/coco
# Run:      mim train onedl-mmdetection configs/detection/mask-rcnn_deit-small_mixpro_1x_coco.py --gpus 8 --launcher pytorch
_base_ = '../_base_/mask_rcnn_pvt_coco.py'

norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.VisionTransformer',
        arch='deit-small',
        img_size=224,
        patch_size=16,
        out_type='featmap',
        out_indices=(2, 5, 8, 11),
        drop_path_rate=0.1,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/deit-small_mixpro_8xb128_in1k/epoch_300.pth',
            prefix='backbone.',
        ),
    ),
    neck=[
        dict(type='mmseg.Feature2Pyramid', embed_dim=384, rescales=[4, 2, 1, 0.5], norm_cfg=norm_cfg),
        dict(type='FPN', in_channels=[384] * 4, out_channels=256, num_outs=5),
    ],
)
custom_hooks = [dict(type='mixpro_mm.TransferCheckHook')]
optim_wrapper = dict(
    optimizer=dict(lr=1e-4, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, custom_keys={'pos_embed': dict(decay_mult=0.0)}),
)
