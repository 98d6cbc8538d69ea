# Fashion-MNIST: a class-balanced subset of the 60,000 training images in memory, shifted by at most 2 px and flipped, and
# all 10,000 test images.
# Fetch it once: python -m mixpro_mm.datasets.fashion_mnist
# Schedule: AdamW, warm-up, cosine, 12 epochs of 320 batches.
_base_ = 'digits.py'

data_preprocessor = dict(mean=[72.94] * 3, std=[90.02] * 3)  # 0.2860 and 0.3530 of 255

fashion = dict(
    type='mixpro_mm.FashionMNIST', data_root='data/fashion-mnist', img_size=28, pipeline=_base_.test_pipeline
)
train_dataloader = dict(
    collate_fn=dict(type='mixpro_mm.keep_batch'),
    dataset=dict(
        _delete_=True,
        type='mixpro_mm.InMemoryDataset',
        dataset=dict(fashion, split='train', num_images=20480),
        padding=2,
        flip_prob=0.5,
    ),
)
val_dataloader = dict(collate_fn=dict(type='default_collate'), dataset=dict(_delete_=True, **fashion, split='test'))
test_dataloader = val_dataloader

param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=True, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=True, begin=1, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=12, val_interval=12)
default_hooks = dict(logger=dict(interval=80))
