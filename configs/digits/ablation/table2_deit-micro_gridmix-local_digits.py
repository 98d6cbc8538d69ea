# Optional, beside the row without it: GridMix with its loss on local context, 4 x 4 cells each told by itself.
# Paper:    Table 2, GridMix, DeiT-S: top-1 79.5 (ImageNet-1k)
# Run:      mim train onedl-mmpretrain configs/digits/ablation/table2_deit-micro_gridmix-local_digits.py
# Unverified: whether the paper's row had this loss, its weight of 0.15, and its grid.
_base_ = 'table2_deit-micro_gridmix_digits.py'

model = dict(
    head=dict(
        loss=dict(
            _delete_=True,
            type='mixpro_mm.LocalContextLoss',
            loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
            in_channels=64,
            num_classes=10,
            weight=0.15,
            grid=4,
        )
    )
)
custom_hooks = [dict(type='mixpro_mm.LabelingHook', labeling='AreaLabeling')]
