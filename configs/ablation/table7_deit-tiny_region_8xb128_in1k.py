# Labels by area under the mask of CutMix: one box.
# Paper:    Table 7, region, DeiT-T: top-1 72.2; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/table7_deit-tiny_region_8xb128_in1k.py --gpus 8 --launcher pytorch
_base_ = '../pretrain/deit-tiny_mixup-cutmix_8xb128_in1k.py'
