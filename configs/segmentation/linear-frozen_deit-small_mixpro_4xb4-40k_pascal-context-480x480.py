# A 1x1 convolution on the frozen, normalized patch tokens of DeiT-S from its MixPro checkpoint: a test of the features,
# not a row of the paper. AdamW at 1e-3, decayed linearly over 40k iterations. DINOv2 has a batch norm before the
# convolution; here the final layer norm of the backbone is before it.
# Paper:    no row of Table 3; not run here
# Needs:    work_dirs/deit-small_mixpro_8xb128_in1k/epoch_300.pth from configs/pretrain/deit-small_mixpro_8xb128_in1k.py
# Data:     data/VOCdevkit/VOC2010, see docs/hand_over.md
# Run:      mim train onedl-mmsegmentation configs/segmentation/linear-frozen_deit-small_mixpro_4xb4-40k_pascal-context-480x480.py --gpus 4 --launcher pytorch
# Test:     mim test onedl-mmsegmentation configs/segmentation/linear-frozen_deit-small_mixpro_4xb4-40k_pascal-context-480x480.py --checkpoint work_dirs/linear-frozen_deit-small_mixpro_4xb4-40k_pascal-context-480x480/iter_40000.pth
# Test, MS: the same command with --tta
_base_ = 'linear_deit-small_mixpro_4xb4-80k_pascal-context-480x480.py'

model = dict(backbone=dict(frozen_stages=12, drop_path_rate=0.0))
optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=1e-4))
param_scheduler = [dict(type='PolyLR', power=1.0, eta_min=0.0, begin=0, end=40000, by_epoch=False)]
train_cfg = dict(max_iters=40000)
