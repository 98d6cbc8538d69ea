# Labels by area under the mask of CutMix: one box.
# Paper:    Table 7, region, DeiT-S: top-1 79.8; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/table7_deit-small_region_8xb128_in1k.py --gpus 8 --launcher pytorch
_base_ = '../pretrain/deit-small_mixup-cutmix_8xb128_in1k.py'
