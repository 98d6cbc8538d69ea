# Recipe of CaiT and XCiT: in1k.py with 400 epochs (section 4.1 of the paper) and evaluation at crop ratio 1 instead of
# 0.875, as for their published results, the baselines of Table 1.
_base_ = 'in1k.py'

train_cfg = dict(max_epochs=400)
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=224, edge='short', backend='pillow', interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
