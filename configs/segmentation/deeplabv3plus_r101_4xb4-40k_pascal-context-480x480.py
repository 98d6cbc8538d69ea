# DeepLabV3+ on ResNet-101, the CNN of Table 3: the config of mmseg with a multi-scale test. The numbers of the paper
# are those of mmseg for this config (47.30, 48.47). Images have mmseg's default scale, a long side of 520 px. The first
# run downloads the ImageNet checkpoint.
# Paper:    Table 3, DeeplabV3+ R101: mIoU 47.3, (MS) 48.5; not run here
# Data:     data/VOCdevkit/VOC2010, see docs/hand_over.md
# Run:      mim train onedl-mmsegmentation configs/segmentation/deeplabv3plus_r101_4xb4-40k_pascal-context-480x480.py --gpus 4 --launcher pytorch
# Test:     mim test onedl-mmsegmentation configs/segmentation/deeplabv3plus_r101_4xb4-40k_pascal-context-480x480.py --checkpoint work_dirs/deeplabv3plus_r101_4xb4-40k_pascal-context-480x480/iter_40000.pth
# Test, MS: the same command with --tta
# _base_ is an expression, because `mmseg::` does not resolve with the onedl packages.
_base_ = (
    __import__('mmengine').utils.get_installed_path('mmseg')
    + '/.mim/configs/deeplabv3plus/deeplabv3plus_r101-d8_4xb4-40k_pascal-context-480x480.py'
)

ratios = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=(int(520 * r), int(520 * r)), keep_ratio=True) for r in ratios],
            [dict(type='RandomFlip', prob=p, direction='horizontal') for p in (0.0, 1.0)],
            [dict(type='LoadAnnotations')],
            [dict(type='PackSegInputs')],
        ],
    ),
]
default_hooks = dict(checkpoint=dict(max_keep_ckpts=2))
