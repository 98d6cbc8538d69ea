# TokenMix instead of CutMix: blocks of tokens, labels by the activation of a teacher, binary cross entropy.
# Paper:    Table 2, TokenMix, DeiT-S: top-1 80.8; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/table2_deit-small_tokenmix_8xb128_in1k.py --gpus 8 --launcher pytorch
# Needs:    checkpoints/resnet50-0676ba61.pth, IMAGENET1K_V1 of torchvision
# Not as in the paper: the teacher is a ResNet-50 on every crop; the paper uses stored maps of an NFNet-F6.
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
                smoothing=0.1,  # as in the loss; the released code uses half of it per image
            ),
        ]
    ),
    head=dict(loss=dict(use_sigmoid=True, loss_weight=1 / 1000)),  # mmpretrain sums over classes, TokenMix averages
)
custom_hooks = [dict(type='mixpro_mm.LabelingHook', labeling='AreaLabeling')]
