# Mask R-CNN on PVT-S, 1x schedule, COCO 2017, by the detection configs of the PVT release: 8 GPUs x 2 images, AdamW at
# 2e-4 after 500 iterations of warm-up from a thousandth, a tenth of it from epochs 8 and 11, 12 epochs; weight decay
# 1e-4 on every parameter, norms, biases and position embeddings included; no clipping, no layer-wise rates; drop path
# 0.1; 1333 x 800 px, flips, fp32. All else is mmdet's Mask R-CNN R50-FPN. The text of the PVT paper has 1e-4 for the
# learning rate; 2e-4 is what its release sets beside the APs it reports. mmdet itself ships PVT for RetinaNet only.
# The maps go to a plain FPN as they are, un-normalised, as in the release. img_size stays at pre-training's 224: the
# position embeddings then come over unchanged, and each input interpolates them to its own size.
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
randomness = dict(seed=0, diff_rank_seed=True)  # with one seed for all, every GPU would drop the same paths
default_hooks = _base_.guards
