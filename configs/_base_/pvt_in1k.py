# PVT v1 in the recipe of in1k.py; sizes add arch and drop path. As in the authors' code, position embeddings decay.
_base_ = 'in1k.py'

model = dict(
    type='ImageClassifier',
    backbone=dict(type='mixpro_mm.PVT', img_size=224),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=512,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02),
    ),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)], probs=[0.5, 0.5]),
)
