# MaskMix with a learnable factor, one parameter without weight decay.
# Paper:    Table 10, Learnable parameter, DeiT-T: top-1 error 27.0; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/table10_deit-tiny_learnable_8xb128_in1k.py --gpus 8 --launcher pytorch
# Unverified: the initial value of 0.5 and the sigmoid.
_base_ = '../pretrain/deit-tiny_mixpro_8xb128_in1k.py'

model = dict(
    head=dict(
        loss=dict(
            _delete_=True,
            type='mixpro_mm.LearnableFactor',
            loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        )
    )
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'raw_factor': dict(decay_mult=0.0)}))
custom_hooks = [
    dict(type='mixpro_mm.LabelingHook', labeling=dict(type='ProgressiveAttentionLabeling', factor='learnable'))
]
