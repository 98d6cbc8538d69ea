# ImageNet-1k by the recipe of MixPro (Table 11), without a model: 8 GPUs x 128 images, 300 epochs, AdamW at 1e-3 after
# 20 epochs of warm-up from 1e-6, cosine to 1e-5, weight decay 0.05, RandAugment (9, 0.5); no EMA, no repeated
# augmentation. Random erasing 0.25 is not in the table but in released code. A model adds itself, with label smoothing
# 0.1 and its drop path, half Mixup 0.8, half CutMix 1, and what else of it is not to decay: biases, norms, other
# one-dimensional parameters, class tokens and Swin's table of relative positions never do.
# Data:     data/imagenet/{train,val}/<wnid>/*.JPEG, or any folders below train and val with lists meta/{train,val}.txt
_base_ = [
    'mmpretrain::_base_/datasets/imagenet_bs64_swin_224.py',
    'mmpretrain::_base_/schedules/imagenet_bs1024_adamw_swin.py',
    'mmpretrain::_base_/default_runtime.py',
]

dataset_type = 'mixpro_mm.ImageNet1k'
train_dataloader = dict(batch_size=128, dataset=dict(type=dataset_type))
val_dataloader = dict(dataset=dict(type=dataset_type))
test_dataloader = val_dataloader
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'.cls_token': dict(decay_mult=0.0)}), clip_grad=None)
randomness = dict(seed=0, diff_rank_seed=True)  # with one seed for all, every GPU would draw the same masks
default_hooks = dict(checkpoint=dict(max_keep_ckpts=2))
