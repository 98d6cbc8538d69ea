# Mask R-CNN on PVT-S from the weights of the PVT release; otherwise as the MixPro config.
# Paper:    Table 4, PVT-S: box AP 40.4, mask AP 37.8; not run here
# Needs:    checkpoints/pvt-small_official.pth: PVT-S of the PVT release, names with the prefix 'backbone.'; and data/coco
#           (python tools/convert_checkpoint.py pvt_small.pth checkpoints/pvt-small_official.pth --to mixpro)
# Run:      mim train onedl-mmdetection configs/detection/mask-rcnn_pvt-small_official_1x_coco.py --gpus 8 --launcher pytorch
# The PVT release reports the same APs for these weights (whai362/PVT, detection/).
_base_ = 'mask-rcnn_pvt-small_mixpro_1x_coco.py'

model = dict(backbone=dict(init_cfg=dict(checkpoint='checkpoints/pvt-small_official.pth')))
