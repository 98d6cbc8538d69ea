# Attentive-CutMix instead of CutMix: the cells of the partner with the largest activations of a CNN, labels by area.
# Paper:    Table 2, Attentive-CutMix, DeiT-S: top-1 77.5; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/table2_deit-small_attentive-cutmix_8xb128_in1k.py --gpus 8 --launcher pytorch
# Needs:    checkpoints/resnet50-0676ba61.pth, IMAGENET1K_V1 of torchvision
_base_ = '../pretrain/deit-small_mixup-cutmix_8xb128_in1k.py'

model = dict(
    train_cfg=dict(
        augments=[
            dict(type='Mixup', alpha=0.8),
            dict(
                type='mixpro_mm.AttentiveCutMix',
                extractor='torchvision.resnet50',
                checkpoint='checkpoints/resnet50-0676ba61.pth',
                top_k=6,
                grid=7,
            ),
        ]
    )
)
