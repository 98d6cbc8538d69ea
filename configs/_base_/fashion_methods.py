# The mixing methods of the studies on Fashion-MNIST, as cfg_options of configs/fashion/{deit,pvt}-micro_mixpro_fashion.py.
# Half the batches are mixed by Mixup, half by the method. Images and steps: docs/development/pilot.md.
few = {'train_dataloader.dataset.dataset.num_images': 1280, 'param_scheduler.0.end': 5, 'param_scheduler.1.begin': 5}
deit_schedule = few | {'train_cfg.max_epochs': 300, 'train_cfg.val_interval': 270}  # epochs of 20 batches
pvt_schedule = few | {'train_cfg.max_epochs': 150, 'train_cfg.val_interval': 135}

mixup, cutmix = dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)
box = dict(type='mixpro_mm.RegionMix', alpha=1.0)
attention = dict(type='mixpro_mm.LabelingHook', labeling='AttentionLabeling')
area = dict(type='mixpro_mm.LabelingHook', labeling='AreaLabeling')
mask_mix = dict(type='mixpro_mm.MaskMix', patch_size=4, mask_scale=2)
# labels sum to 1, as those of the other methods; the moving average of the model is the teacher, and is tested
token_mix = dict(type='mixpro_mm.TokenMix', patch_size=4, teacher='ema', target='ce')

methods = {  # for both backbones
    'none': {'model.train_cfg': dict(_delete_=True), 'custom_hooks': []},
    'mixup': {'model.train_cfg': dict(augments=[mixup], probs=[1.0]), 'custom_hooks': []},
    'cutmix': {'model.train_cfg.augments': [mixup, cutmix], 'custom_hooks': []},
    'transmix': {'model.train_cfg.augments': [mixup, box], 'custom_hooks': [attention]},
    'mixpro': {},
}
deit_methods = methods | {
    'maskmix': {'model.train_cfg.augments': [mixup, mask_mix], 'custom_hooks': []},
    'tokenmix': {
        'model.train_cfg.augments': [mixup, token_mix],
        'custom_hooks': [dict(type='EMAHook', momentum=0.02), area],
        'model.backbone.type': 'VisionTransformer',  # the teacher's activation is that of patch tokens
    },
}
