# Attentive-CutMix in place of CutMix: paste the cells where a trained CNN sees most in the partner.
# Paper:    Table 2, Attentive-CutMix, DeiT-S: top-1 77.5 (ImageNet-1k)
# Run:      mim train onedl-mmpretrain configs/digits/ablation/table2_deit-micro_attentive-cutmix_digits.py
# Needs:    the checkpoint of extractor_resnet-micro_digits.py, to be trained first
# Pastes 2 of 16 cells, as 6 of 49 on ImageNet.
_base_ = ['table2_deit-micro_cutmix_digits.py', '../../_base_/resnet_micro.py']

extractor = 'work_dirs/extractor_resnet-micro_digits/epoch_15.pth'
model = dict(
    train_cfg=dict(
        augments=[
            dict(type='Mixup', alpha=0.8),
            dict(
                type='mixpro_mm.AttentiveCutMix', extractor=_base_.resnet_micro, checkpoint=extractor, top_k=2, grid=4
            ),
        ]
    )
)
