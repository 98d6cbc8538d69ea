# Fashion-MNIST, 28 px padded to 32: a class-balanced subset of the 60,000 training images, and all 10,000 test images.
# Fetch it once: python -m mixpro_mm.datasets.fashion_mnist
# Schedule: AdamW, warm-up, cosine, 50 epochs of 79 batches.
_base_ = 'digits.py'

num_images = 5000
data_preprocessor = dict(mean=[72.94] * 3, std=[90.02] * 3)  # 0.2860 and 0.3530 of 255

train_pipeline = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackInputs'),
]

fashion = dict(_delete_=True, type='mixpro_mm.FashionMNIST', data_root='data/fashion-mnist', img_size=32)
train_dataloader = dict(dataset=dict(fashion, split='train', num_images=num_images, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(fashion, split='test', pipeline=_base_.test_pipeline))
test_dataloader = val_dataloader

train_cfg = dict(val_interval=10)
default_hooks = dict(logger=dict(interval=79))
