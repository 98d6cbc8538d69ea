# Fashion scenes in the layout of COCO 2017: 240 train and 400 val scenes of 96 px, 10 classes, masks of visible parts.
# Create them once: python -m mixpro_mm.datasets.fashion_scenes data/fashion_scenes
# Sizes are those of the digit scenes. Train scenes show training photographs, val scenes test photographs.
_base_ = 'digit_scenes_coco.py'

data_root = 'data/fashion_scenes/coco/'
classes = ('T-shirt/top', 'trouser', 'pullover', 'dress', 'coat', 'sandal', 'shirt', 'sneaker', 'bag', 'ankle boot')
metainfo = dict(classes=classes)
data_preprocessor = dict(mean=[72.94] * 3, std=[90.02] * 3)  # of pre-training on Fashion-MNIST

train_pipeline = [*_base_.train_pipeline[:-1], dict(type='RandomFlip', prob=0.5), _base_.train_pipeline[-1]]
scenes = dict(data_root=data_root, metainfo=metainfo)
train_dataloader = dict(dataset=dict(scenes, pipeline=train_pipeline))
val_dataloader = dict(dataset=scenes)
test_dataloader = val_dataloader

val_evaluator = dict(ann_file=data_root + 'annotations/instances_val2017.json')
test_evaluator = val_evaluator
