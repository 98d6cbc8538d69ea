# Fashion scenes in the layout of Pascal Context (VOC 2010): 240 train and 400 val scenes of 96 px, background + 10 classes.
# Create them once: python -m mixpro_mm.datasets.fashion_scenes data/fashion_scenes
# Sizes are those of the digit scenes. Train scenes show training photographs, val scenes test photographs.
_base_ = 'digit_scenes_context.py'

classes = ('background', 'T-shirt/top', 'trouser', 'pullover', 'dress', 'coat', 'sandal', 'shirt', 'sneaker', 'bag')
metainfo = dict(classes=(*classes, 'ankle boot'))
data_preprocessor = dict(mean=[72.94] * 3, std=[90.02] * 3)  # of pre-training on Fashion-MNIST

train_pipeline = [*_base_.train_pipeline[:-1], dict(type='RandomFlip', prob=0.5), _base_.train_pipeline[-1]]
scenes = dict(data_root='data/fashion_scenes/VOCdevkit/VOC2010', metainfo=metainfo)
train_dataloader = dict(dataset=dict(scenes, pipeline=train_pipeline))
val_dataloader = dict(dataset=scenes)
test_dataloader = val_dataloader
