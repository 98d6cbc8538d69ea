# ImageNet-A and ImageNet-O for the test dataloader of a classifier of ImageNet-1k, whose data_preprocessor normalizes.
# Images are loaded, resized and cropped as by the authors of the two sets: Pillow, Resize(256) and CenterCrop(224) of
# torchvision, bilinear instead of bicubic, without EXIF rotation.
# Data:     data/imagenet-a/<wnid>/*.jpg (7,500 images) and data/imagenet-o/<wnid>/*.jpg (2,000), 200 folders each, from
#           imagenet-a.tar and imagenet-o.tar of github.com/hendrycks/natural-adv-examples; for ImageNet-O also the
#           validation images in data/imagenet, in folders or with meta/val.txt
natural_pipeline = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow', color_type='color_ignore_orientation'),
    dict(type='ResizeEdge', scale=256, edge='short', backend='pillow', interpolation='bilinear'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs', algorithm_keys=['ood']),  # ImageNet-O only
]
imagenet_a = dict(type='mixpro_mm.ImageNetA', data_root='data/imagenet-a', pipeline=natural_pipeline)
imagenet_o = dict(
    type='mixpro_mm.ImageNetO',
    data_root='data/imagenet-o',
    imagenet_root='data/imagenet',
    pipeline=natural_pipeline,
)
