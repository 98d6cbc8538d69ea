# The evidence study for one GPU: DeiT-T and PVT-T instead of the micro models, 20,480 images, bf16. Not run yet. As
# calculated about 6 hours: 8,000 steps of 12 blocks are bound by kernel launches, some 40 ms a step, so 5.5 minutes for
# each of 35 DeiT-T, 8 for each of 12 PVT-T, and 3 for each of 32 transfers.
# Run:      python tools/study.py configs/fashion/study_fashion_evidence_gpu.py
_base_ = 'study_fashion_evidence.py'

title = 'MixPro against its rivals on Fashion-MNIST, DeiT-T and PVT-T'
about = _base_.about.replace('DeiT-micro (64 channels, 4 blocks)', 'DeiT-T').replace('PVT-micro', 'PVT-T')
about = about.replace('1,280 images', '20,480 images')
bf16 = {'optim_wrapper.type': 'AmpOptimWrapper', 'optim_wrapper.dtype': 'bfloat16'}
schedule = {  # 100 epochs of 80 batches
    'train_dataloader.batch_size': 256,
    'train_dataloader.dataset.dataset.num_images': 20480,
    'train_cfg.max_epochs': 100,
    'train_cfg.val_interval': 90,
    'optim_wrapper.optimizer.lr': 1e-3,
}
deit_tiny, pvt_tiny = {'model.backbone.arch': 'deit-tiny'}, {'model.backbone.arch': 'tiny'}
larger = dict(
    deit=deit_tiny | {'model.head.in_channels': 192} | schedule,
    pvt=pvt_tiny | {'model.head.in_channels': 512} | schedule,
    segmenter=deit_tiny | {'model.decode_head.in_channels': 192},
    maskrcnn=pvt_tiny | {'model.neck.in_channels': [64, 128, 320, 512]},
)
names = {'DeiT-micro': 'DeiT-T', 'PVT-micro': 'PVT-T'}
stages = []
for stage in _base_.stages:
    if 'config' in stage:
        options = stage.get('cfg_options', {}) | larger[stage['name'].split('_')[0]] | bf16
        stage = dict(stage, cells=[], backbone=names[stage['backbone']], cfg_options=options)
    stages.append(stage)
