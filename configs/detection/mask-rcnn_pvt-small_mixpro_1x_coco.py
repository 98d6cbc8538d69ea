# Mask R-CNN on PVT-S from MixPro pre-training, and the base of the other PVT configs. The run stops before training if
# a backbone tensor is not loaded.
# Paper:    Table 4, MixPro-PVT-S: box AP 41.4, mask AP 38.9; not run here
# Needs:    the checkpoint of configs/pretrain/pvt-small_mixpro_8xb128_in1k.py, and data/coco
# Run:      mim train onedl-mmdetection configs/detection/mask-rcnn_pvt-small_mixpro_1x_coco.py --gpus 8 --launcher pytorch
_base_ = '../_base_/mask_rcnn_pvt_coco.py'

model = dict(
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/pvt-small_mixpro_8xb128_in1k/epoch_300.pth',
            prefix='backbone.',
        )
    )
)
custom_hooks = [dict(type='mixpro_mm.TransferCheckHook')]
