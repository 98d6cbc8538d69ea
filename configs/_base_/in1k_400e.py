# What CaiT and XCiT change in the recipe: 400 epochs (section 4.1 of the paper), and tests on the whole image, at crop
# ratio 1 in place of 0.875, where their published results, the baselines of Table 1, were measured.
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
