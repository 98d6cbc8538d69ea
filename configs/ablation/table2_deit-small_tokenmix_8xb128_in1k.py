# TokenMix in place of CutMix: blocks of tokens, labels by a teacher's activation, binary cross entropy.
# Paper:    Table 2, TokenMix, DeiT-S: top-1 80.8; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/table2_deit-small_tokenmix_8xb128_in1k.py --gpus 8 --launcher pytorch
# Needs:    checkpoints/resnet50-0676ba61.pth, the weights of torchvision (IMAGENET1K_V1)
# Not as in the paper: the teacher is a ResNet-50 that looks at every crop; there, maps of an NFNet-F6 come from files.
_base_ = '../pretrain/deit-small_mixup-cutmix_8xb128_in1k.py'

model = dict(
    train_cfg=dict(
        augments=[
            dict(type='Mixup', alpha=0.8),
            dict(
                type='mixpro_mm.TokenMix',
                patch_size=16,
                teacher='torchvision.resnet50',
                checkpoint='checkpoints/resnet50-0676ba61.pth',
                target='bce',
                smoothing=0.1,  # as of the loss; the released code takes half of it from each image
            ),
        ]
    ),
    head=dict(loss=dict(use_sigmoid=True, loss_weight=1 / 1000)),  # the host sums over classes, TokenMix averages
)
custom_hooks = [dict(type='mixpro_mm.LabelingHook', labeling='AreaLabeling')]
