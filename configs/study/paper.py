# Tables 1, 3, 4 and 5 and Figure 3 of the paper as a study: pre-train 14 models with three methods, transfer two of
# them, test one on ImageNet-A, ImageNet-O and occluded images. The report compares measured and published numbers. Not
# run here: its 42 pre-trainings take about 30,000 V100 hours.
# Data:     data/imagenet, data/imagenet-a, data/imagenet-o, data/VOCdevkit/VOC2010, data/coco
# Needs:    checkpoints/dino_deit-small.pth, see configs/robustness/deit-small_occlusion_in1k.py
# Look:     python tools/study.py configs/study/paper.py --dry-run
# A part:   python tools/study.py configs/study/paper.py --only 'segmenter*' --launcher pytorch --gpus 8
# Run:      python tools/study.py configs/study/paper.py --launcher slurm --partition NAME
_base_ = ['../_base_/paper.py']

title = 'Tables 1, 3, 4 and 5 of MixPro'
seed = 0
jobs = 1

methods = dict(baseline='mixup-cutmix', transmix='transmix', mixpro='mixpro')  # in results: in file names
ap = ('bbox_mAP', 'bbox_mAP_50', 'bbox_mAP_75', 'segm_mAP', 'segm_mAP_50', 'segm_mAP_75')
table5 = ('A_top1', 'A_rms_calibration_error', 'A_aurra', 'O_aupr')
robustness = dict(
    occlusion='../robustness/deit-small_occlusion_in1k.py',
    A='../robustness/deit-small_imagenet-a.py',
    O='../robustness/deit-small_imagenet-o.py',
)
imagenet = dict(task='classification', gpus=8)
context = dict(task='segmentation', gpus=4, tta=True)
coco = dict(task='detection', gpus=8)

stages = [
    dict(
        name=f'{model}_{method}',
        config=f'../pretrain/{model}_{files}_8xb128_in1k.py',
        backbone=row['name'],
        pretraining=method,
        published=dict(top1=row[method])
        | dict(zip(table5, _base_.table5.get(model, {}).get(method, ()), strict=False)),
        evaluations=robustness if model in _base_.table5 else {},
        **imagenet,
    )
    for model, row in _base_.table1.items()
    for method, files in methods.items()
]
stages += [
    dict(
        name=f'{decoder}_deit-small_{method}',
        config=f'../segmentation/{decoder}_deit-small_{method}_4xb4-80k_pascal-context-480x480.py',
        checkpoint=f'deit-small_{method}',
        backbone=f'DeiT-S, {name}',
        pretraining=method,
        published=dict(zip(('mIoU', 'mIoU (MS)'), _base_.table3[f'{decoder}_deit-small'][method], strict=True)),
        **context,
    )
    for decoder, name in (('linear', 'linear'), ('segmenter', 'Segmenter'))
    for method in methods
]
stages += [
    dict(
        name=f'mask-rcnn_pvt-small_{method}',
        config=f'../detection/mask-rcnn_pvt-small_{method}_1x_coco.py',
        checkpoint=f'pvt-small_{method}',
        backbone='PVT-S',
        pretraining=method,
        published=dict(zip(ap, _base_.table4['mask-rcnn_pvt-small'][method], strict=True)),
        **coco,
    )
    for method in methods
]
# CNN rows, from weights that the toolkits download
stages += [
    dict(
        name='deeplabv3plus_r101',
        config='../segmentation/deeplabv3plus_r101_4xb4-40k_pascal-context-480x480.py',
        backbone='R-101, DeepLabV3+',
        pretraining='official',
        published=dict(zip(('mIoU', 'mIoU (MS)'), _base_.table3['deeplabv3plus_r101']['baseline'], strict=True)),
        **context,
    ),
]
stages += [
    dict(
        name=f'mask-rcnn_{model}',
        config=f'../detection/mask-rcnn_{model}_1x_coco.py',
        backbone=name,
        pretraining='official',
        published=dict(zip(ap, _base_.table4[f'mask-rcnn_{model}']['baseline'], strict=True)),
        **coco,
    )
    for model, name in (('r50', 'R-50'), ('r101', 'R-101'))
]
