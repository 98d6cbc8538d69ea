# ImageNet-A and ImageNet-O for the test loader of any classifier of ImageNet-1k, whose own data_preprocessor normalizes.
# Images are opened, resized and cropped as by the authors of the two sets, with Pillow and torchvision's Resize(256) and
# CenterCrop(224): bilinear where tests of ImageNet-1k are bicubic, and without turning a photo as its EXIF says.
# Data:     data/imagenet-a/<wnid>/*.jpg (7,500 images) and data/imagenet-o/<wnid>/*.jpg (2,000), 200 folders each, as
#           imagenet-a.tar and imagenet-o.tar of github.com/hendrycks/natural-adv-examples unpack; for ImageNet-O also the
#           validation images in data/imagenet, by folders or by meta/val.txt
natural_pipeline = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow', color_type='color_ignore_orientation'),
    dict(type='ResizeEdge', scale=256, edge='short', backend='pillow', interpolation='bilinear'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs', algorithm_keys=['ood']),  # which only ImageNet-O has
]
imagenet_a = dict(type='mixpro_mm.ImageNetA', data_root='data/imagenet-a', pipeline=natural_pipeline)
imagenet_o = dict(
    type='mixpro_mm.ImageNetO',
    data_root='data/imagenet-o',
    imagenet_root='data/imagenet',
    pipeline=natural_pipeline,
)
