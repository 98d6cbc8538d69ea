# MaskMix whose factor is one parameter, learned with the model, without weight decay.
# Paper:    Table 10, Learnable parameter, DeiT-T: top-1 error 27.0 (ImageNet-1k)
# Run:      mim train onedl-mmpretrain configs/digits/ablation/table10_deit-micro_learnable_digits.py
# Unverified: its start at a half and the sigmoid that keeps it within bounds.
_base_ = '../deit-micro_mixpro_digits.py'

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
