# Mask R-CNN on PVT-S, 1x schedule, COCO 2017, with the settings of the PVT release: 8 GPUs x 2 images, 12 epochs, AdamW
# at 2e-4 after 500 iterations of warm-up from 2e-7, divided by 10 at epochs 8 and 11; weight decay 1e-4 on all
# parameters; no clipping, no layer-wise learning rates; drop path 0.1; 1333 x 800 px, flips, fp32. The rest is mmdet's
# Mask R-CNN R50-FPN. The PVT paper gives a learning rate of 1e-4, its release 2e-4 with the reported APs. mmdet has PVT
# for RetinaNet only. Feature maps are not normalized before the FPN, as in the release. img_size is 224 as in
# pre-training, so that position embeddings load unchanged; they are interpolated to the size of each input.
# Data:     data/coco/{annotations/instances_{train,val}2017.json,train2017/*.jpg,val2017/*.jpg}
_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    'mmdet::_base_/datasets/coco_instance.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    'mmdet::_base_/default_runtime.py',
    'guards.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='mixpro_mm.PVT',
        arch='small',
        img_size=224,
        out_type='featmap',
        drop_path_rate=0.1,
    ),
    neck=dict(in_channels=[64, 128, 320, 512]),
)
optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=2e-4, weight_decay=1e-4))
randomness = dict(seed=0, diff_rank_seed=True)  # one seed per GPU, so that GPUs drop different paths
val_evaluator = test_evaluator = dict(type='FasterCocoMetric')  # the numbers of CocoMetric
default_hooks = _base_.guards
