# DeiT-S with MixPro on images of your own, one folder for each class: data_root/{train,val}/CLASS/*.jpg
# Run:      mim train onedl-mmpretrain docs/examples/own_images.py
data_root = 'data/my_images'
num_classes = 10  # the folders in train
epochs = 300  # the first fifteenth is warm-up, at least one of two or more
warm_up = min(max(epochs // 15, 1), epochs - 1)

data_preprocessor = dict(
    num_classes=num_classes,
    mean=[123.675, 116.28, 103.53],  # RGB, of ImageNet
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)
model = dict(
    type='ImageClassifier',
    backbone=dict(type='VisionTransformer', arch='deit-small', img_size=224, patch_size=16, drop_path_rate=0.1),
    head=dict(
        type='VisionTransformerClsHead',
        num_classes=num_classes,
        in_channels=384,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
    train_cfg=dict(
        augments=[dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.MixPro', patch_size=16, mask_scale=4)],
        probs=[0.5, 0.5],
    ),
)
custom_hooks = [dict(type='mixpro_mm.LabelingHook')]

train_pipeline = [
    dict(type='mixpro_mm.LoadRandomResizedCrop', scale=224),  # and a horizontal flip
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=256, edge='short', backend='pillow', interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
images = dict(type='CustomDataset', data_root=data_root)
train_dataloader = dict(
    batch_size=64,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(data_prefix='train', pipeline=train_pipeline, **images),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(data_prefix='val', pipeline=test_pipeline, **images),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=(1,))
test_evaluator = val_evaluator

train_cfg = dict(by_epoch=True, max_epochs=epochs, val_interval=10)
val_cfg = dict()
test_cfg = dict()
# 1e-3 belongs to 1024 images a step; auto_scale_lr scales it to the batch, and eta_min_ratio is a share of the result
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys={'.cls_token': dict(decay_mult=0.0), '.pos_embed': dict(decay_mult=0.0)},
    ),
)
auto_scale_lr = dict(base_batch_size=1024, enable=True)
param_scheduler = [
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=1e-2,
        by_epoch=True,
        begin=warm_up,
        end=epochs,
        convert_to_iter_based=True,
    ),
]
if warm_up:
    param_scheduler.insert(
        0, dict(type='LinearLR', start_factor=1e-3, by_epoch=True, end=warm_up, convert_to_iter_based=True)
    )

default_scope = 'mmpretrain'
default_hooks = dict(
    checkpoint=dict(type='mixpro_mm.AtomicCheckpointHook', interval=10, max_keep_ckpts=2, save_best='auto'),
    iter_seed=dict(type='mixpro_mm.IterSeedHook'),  # a resumed run draws what it would have drawn
    checkpoint_check=dict(type='mixpro_mm.CheckpointCheckHook'),  # before a file is read, and against other settings
    class_check=dict(type='mixpro_mm.ClassCheckHook'),  # num_classes against the folders
    nonfinite_loss=dict(type='mixpro_mm.NonFiniteLossHook'),
)
randomness = dict(seed=0, diff_rank_seed=True)  # with one seed for all, every GPU would draw the same masks
