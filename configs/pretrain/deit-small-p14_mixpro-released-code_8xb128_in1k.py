# DeiT-S with MixPro as in the released code where it differs from the paper. Its progressive attention labeling, off by
# default in the released code, is on.
# Paper:    Table 1, DeiT-S + MixPro: top-1 81.3; not run here
# Run:      mim train onedl-mmpretrain configs/pretrain/deit-small-p14_mixpro-released-code_8xb128_in1k.py --gpus 8 --launcher pytorch
# Patches of 14 px; cells of 56 px, which tile 224 px; Mixup, CutMix and MixPro 25 : 25 : 50; number of cells rounded
# up; mask downsampled to the tokens by nearest neighbour, which is exact for these cells; factor from smoothed labels,
# with gradients; hard labels in MixPro batches. Partners and ratio are the defaults: flipped partners and one tau per
# sample appear in the released code only in names and comments.
_base_ = 'deit-small_mixup-cutmix_8xb128_in1k.py'

released = dict(patch_size=14, mask_scale=4, rounding='ceil')
hard = dict(type='CrossEntropyLoss', use_soft=True)
model = dict(
    backbone=dict(patch_size=14),
    head=dict(loss=dict(_delete_=True, type='mixpro_mm.BranchLoss', loss=_base_.label_smooth, labelled=hard)),
    train_cfg=dict(
        augments=[
            dict(type='Mixup', alpha=0.8),
            dict(type='CutMix', alpha=1.0),
            dict(type='mixpro_mm.MixPro', alpha=1.0, **released),
        ],
        probs=[0.25, 0.25, 0.5],
    ),
)
labeling = dict(type='ProgressiveAttentionLabeling', detach=False, smooth_target=True, downsample='nearest')
custom_hooks = [dict(type='mixpro_mm.LabelingHook', labeling=labeling)]
