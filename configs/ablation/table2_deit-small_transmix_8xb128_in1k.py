# TransMix in place of CutMix: CutMix's box, labels half by area, half by class attention.
# Paper:    Table 2, TransMix, DeiT-S: top-1 80.7; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/table2_deit-small_transmix_8xb128_in1k.py --gpus 8 --launcher pytorch
_base_ = '../pretrain/deit-small_transmix_8xb128_in1k.py'
