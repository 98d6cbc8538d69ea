# CA-Swin, a Swin whose last block is class attention, with the recipe of in1k.py. Size variants set arch and drop path.
# Gradients are clipped at 5, as in the recipe of Swin.
_base_ = 'in1k.py'

model = dict(
    type='ImageClassifier',
    backbone=dict(type='mixpro_mm.CASwin', img_size=224),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=768,
        loss=_base_.label_smooth,
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02),
    ),
)
optim_wrapper = dict(clip_grad=dict(_delete_=True, max_norm=5.0))
