# PVT v1 with the recipe of in1k.py. Size variants set arch and drop path. As in the authors' code, position embeddings
# decay and convolutions have the initialization of PyTorch.
_base_ = 'in1k.py'

model = dict(
    type='ImageClassifier',
    backbone=dict(type='mixpro_mm.PVT', img_size=224, init_cfg=dict(type='mixpro_mm.TimmInit')),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=512,
        loss=_base_.label_smooth,
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02),
    ),
)
