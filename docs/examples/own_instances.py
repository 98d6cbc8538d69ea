# Mask R-CNN on PVT-S from a checkpoint, on instances of your own in the layout of COCO: data_root/{train,val}/*.jpg and
# data_root/annotations/{train,val}.json, whose categories have these names and whose annotations have a segmentation.
# Run:      mim train onedl-mmdetection docs/examples/own_instances.py
_base_ = '../../configs/detection/mask-rcnn_pvt-small_mixpro_1x_coco.py'

data_root = 'data/my_instances/'
classes = ('leaf', 'fruit')
checkpoint = 'work_dirs/pvt-small_mixpro_8xb128_in1k/epoch_300.pth'

model = dict(
    backbone=dict(init_cfg=dict(checkpoint=checkpoint)),
    roi_head=dict(bbox_head=dict(num_classes=len(classes)), mask_head=dict(num_classes=len(classes))),
)
instances = dict(data_root=data_root, metainfo=dict(classes=classes))
train_dataloader = dict(dataset=dict(instances, ann_file='annotations/train.json', data_prefix=dict(img='train/')))
val_dataloader = dict(dataset=dict(instances, ann_file='annotations/val.json', data_prefix=dict(img='val/')))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/val.json')
test_evaluator = val_evaluator
auto_scale_lr = dict(enable=True)  # the learning rate belongs to 16 images a step
