# Mask R-CNN on PVT-S from pre-training with SMMix; otherwise as the MixPro config.
# Paper:    not in the paper
# Needs:    checkpoints/pvt-small_smmix.pth: PVT-S pre-trained with SMMix, names with the prefix 'backbone.'; and data/coco
#           (python tools/convert_checkpoint.py SMMIX_PVT_S.pth checkpoints/pvt-small_smmix.pth --to mixpro)
# Run:      mim train onedl-mmdetection configs/detection/mask-rcnn_pvt-small_smmix_1x_coco.py --gpus 8 --launcher pytorch
_base_ = 'mask-rcnn_pvt-small_mixpro_1x_coco.py'

model = dict(backbone=dict(init_cfg=dict(checkpoint='checkpoints/pvt-small_smmix.pth')))
