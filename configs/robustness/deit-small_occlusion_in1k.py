# Occlusion of DeiT-S on ImageNet-1k val: patches of 16 px set to black at random, from the most and from the least
# salient by the attention of DINO DeiT-S/16 (last block, head 1). 50,000 images, each once whole and 28 times occluded.
# Paper:    Figure 3, curves only; not run here
# Needs:    the checkpoint of configs/pretrain/deit-small_mixpro_8xb128_in1k.py, or of another DeiT-S as --checkpoint
# Needs:    checkpoints/dino_deit-small.pth: python tools/convert_checkpoint.py dino_deitsmall16_pretrain.pth checkpoints/dino_deit-small.pth --to mmpretrain
# Data:     data/imagenet, as for pre-training
# Run:      mim test onedl-mmpretrain configs/robustness/deit-small_occlusion_in1k.py --checkpoint work_dirs/deit-small_mixpro_8xb128_in1k/epoch_300.pth --work-dir work_dirs/occlusion/mixpro
# Draw:     python tools/visualize.py occlusion MixPro=work_dirs/occlusion/mixpro/occlusion.json TransMix=work_dirs/occlusion/transmix/occlusion.json --out occlusion.png
# Unverified: the paper drops patches by ratio; its reference by attention mass. protocol='count' drops by number.
_base_ = ['../pretrain/deit-small_mixpro_8xb128_in1k.py', '../_base_/natural_adversarial.py']

test_dataloader = dict(
    batch_size=256,
    sampler=dict(shuffle=True, seed=0),  # a batch shares its random patches, so it should have several classes
    dataset=dict(pipeline=_base_.natural_pipeline),  # as in the reference
)
test_cfg = dict(
    type='mixpro_mm.OcclusionTestLoop',
    protocol='naseer',
    repeats=1,  # 5 in Naseer et al.
    seed=0,
    saliency=dict(
        type='VisionTransformer',
        arch='deit-small',
        img_size=224,
        patch_size=16,
        checkpoint='checkpoints/dino_deit-small.pth',
    ),
    saliency_head=1,
)
