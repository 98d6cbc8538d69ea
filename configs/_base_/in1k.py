# ImageNet-1k with the recipe of MixPro (Table 11), without a backbone: 8 GPUs x 128 images, 300 epochs, AdamW at 1e-3
# after 20 epochs of warm-up from 1e-6, cosine to 1e-5, weight decay 0.05, RandAugment (9, 0.5), label smoothing 0.1,
# half Mixup 0.8, half CutMix 1; no EMA, no repeated augmentation. Random erasing 0.25 is from the released code, not
# from the table. One-dimensional parameters, class tokens and Swin's relative position biases do not decay. Model
# configs add the backbone, its drop path, and further parameters without decay.
# Data:     data/imagenet/{train,val}/<wnid>/*.JPEG, or any folders below train and val with lists meta/{train,val}.txt
_base_ = [
    'mmpretrain::_base_/datasets/imagenet_bs64_swin_224.py',
    'mmpretrain::_base_/schedules/imagenet_bs1024_adamw_swin.py',
    'mmpretrain::_base_/default_runtime.py',
    'guards.py',
]

label_smooth = dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original')
model = dict(
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)], probs=[0.5, 0.5]),
)
# mmpretrain's train_pipeline, faster: docs/loading.md. The test_pipeline is mmpretrain's, so that a config with its
# checkpoint works without this package.
fast_pipeline = [
    dict(type='mixpro_mm.LoadRandomResizedCrop', scale=224),
    *[
        dict(step, type=f'mixpro_mm.{step["type"]}')
        for step in _base_.train_pipeline
        if step['type'] in ('RandAugment', 'RandomErasing')
    ],
    dict(type='PackInputs'),
]
dataset_type = 'mixpro_mm.ImageNet1k'
train_dataloader = dict(batch_size=128, dataset=dict(type=dataset_type, pipeline=fast_pipeline))
val_dataloader = dict(dataset=dict(type=dataset_type))
test_dataloader = val_dataloader
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'.cls_token': dict(decay_mult=0.0)}), clip_grad=None)
# cosine of timm over all epochs, with the warm-up instead of the first 20, as released; Swin's starts after the warm-up
param_scheduler = [
    dict(
        type='mixpro_mm.TimmCosineLR',
        warmup=20,
        start_factor=1e-3,
        eta_min_ratio=1e-2,
        by_epoch=True,
        convert_to_iter_based=True,
    )
]
randomness = dict(seed=0, diff_rank_seed=True)  # one seed per GPU, so that GPUs draw different masks
default_hooks = _base_.guards
