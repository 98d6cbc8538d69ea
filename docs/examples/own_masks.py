# Segmenter on DeiT-S from a checkpoint, on masks of your own in the layout of Pascal VOC. A pixel of a PNG in
# SegmentationClass is the index of its class, 255 if it has none:
#   data_root/JPEGImages/NAME.jpg, SegmentationClass/NAME.png, ImageSets/Segmentation/{train,val}.txt
# Run:      mim train onedl-mmsegmentation docs/examples/own_masks.py
_base_ = '../../configs/segmentation/segmenter_deit-small_mixpro_4xb4-80k_pascal-context-480x480.py'

data_root = 'data/my_masks'
classes = ('background', 'leaf', 'fruit')
palette = [[0, 0, 0], [0, 160, 0], [220, 40, 40]]
checkpoint = 'work_dirs/deit-small_mixpro_8xb128_in1k/epoch_300.pth'
max_iters = 20000  # of batch_size images

model = dict(backbone=dict(init_cfg=dict(checkpoint=checkpoint)), decode_head=dict(num_classes=len(classes)))
masks = dict(
    _delete_=True,
    type='BaseSegDataset',
    data_root=data_root,
    data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
    metainfo=dict(classes=classes, palette=palette),
)
train = dict(masks, ann_file='ImageSets/Segmentation/train.txt', pipeline=_base_.train_pipeline)
val = dict(masks, ann_file='ImageSets/Segmentation/val.txt', pipeline=_base_.test_pipeline)
train_dataloader = dict(batch_size=16, dataset=train)  # the learning rate belongs to 16 images a step
val_dataloader = dict(dataset=val)
test_dataloader = dict(dataset=val)

param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=1e-5, begin=0, end=max_iters, by_epoch=False)]
train_cfg = dict(max_iters=max_iters, val_interval=2000)
