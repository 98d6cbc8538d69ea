# TransMix with boxes aligned to the patches.
# Paper:    Table 8, A, DeiT-T: top-1 73.1; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/table8_deit-tiny_a-aligned-transmix_8xb128_in1k.py --gpus 8 --launcher pytorch
_base_ = '../pretrain/deit-tiny_transmix_8xb128_in1k.py'

model = dict(
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.RegionMix', alpha=1.0, align=16)])
)
