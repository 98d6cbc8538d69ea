# Puzzle Mix instead of CutMix: blocks selected by min-cut on gradient saliency, then transported; labels by area.
# Paper:    Table 2, Puzzle-Mix, DeiT-S: top-1 79.8; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/table2_deit-small_puzzlemix_8xb128_in1k.py --gpus 8 --launcher pytorch
_base_ = '../pretrain/deit-small_mixup-cutmix_8xb128_in1k.py'

model = dict(
    train_cfg=dict(
        augments=[dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.PuzzleMix', alpha=1.0, blocks=(2, 4, 8, 16))]
    )
)
custom_hooks = [dict(type='mixpro_mm.LabelingHook', labeling='AreaLabeling')]
