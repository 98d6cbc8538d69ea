# Optional variant of the GridMix row with its loss on local context: each of 4 x 4 cells is classified.
# Paper:    Table 2, GridMix, DeiT-S: top-1 79.5; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/table2_deit-small_gridmix-local_8xb128_in1k.py --gpus 8 --launcher pytorch
# Unverified: whether the paper uses this loss, its weight of 0.15, and its grid.
_base_ = 'table2_deit-small_gridmix_8xb128_in1k.py'

model = dict(
    head=dict(
        loss=dict(
            _delete_=True,
            type='mixpro_mm.LocalContextLoss',
            loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
            in_channels=384,
            num_classes=1000,
            weight=0.15,
            grid=4,
        )
    )
)
custom_hooks = [dict(type='mixpro_mm.LabelingHook', labeling='AreaLabeling')]
