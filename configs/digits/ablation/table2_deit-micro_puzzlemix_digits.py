# Puzzle Mix in place of CutMix: blocks cut by min-cut on gradient saliency, then moved; labels by area.
# Paper:    Table 2, Puzzle-Mix, DeiT-S: top-1 79.8 (ImageNet-1k)
# Run:      mim train onedl-mmpretrain configs/digits/ablation/table2_deit-micro_puzzlemix_digits.py
# Blocks of 2 px, below a patch, are left out.
_base_ = 'table2_deit-micro_cutmix_digits.py'

model = dict(
    train_cfg=dict(
        augments=[dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.PuzzleMix', alpha=1.0, blocks=(2, 4, 8))]
    )
)
custom_hooks = [dict(type='mixpro_mm.LabelingHook', labeling='AreaLabeling')]
