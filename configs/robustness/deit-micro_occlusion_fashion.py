# Occlusion of DeiT-micro on 1,000 test images of Fashion-MNIST, 100 of each class: patches of 4 px set to black. A
# separate DeiT-micro defines the salient patches of all models, as DINO in the paper, so that all models lose the same
# patches. Photographs are light on black, so black patches remove the garment only.
# Needs:    work_dirs/saliency_deit-micro_fashion/epoch_12.pth from configs/fashion/evidence/saliency_deit-micro_fashion.py
# Needs:    work_dirs/deit-micro_mixpro_fashion/epoch_12.pth from configs/fashion/deit-micro_mixpro_fashion.py
# Run:      mim test onedl-mmpretrain configs/robustness/deit-micro_occlusion_fashion.py --checkpoint work_dirs/deit-micro_mixpro_fashion/epoch_12.pth
# Read:     occlusion/MODE_RATIO, in percent; deit-micro_calibration_fashion.py has top-1 and ECE on all test images
_base_ = '../fashion/deit-micro_mixpro_fashion.py'

backbone = _base_.model.backbone
test_dataloader = dict(dataset=dict(num_images=1000))
test_cfg = dict(
    type='mixpro_mm.OcclusionTestLoop',
    protocol='naseer',
    grid=backbone.img_size // backbone.patch_size,
    repeats=3,
    seed=0,
    saliency=dict(backbone, checkpoint='work_dirs/saliency_deit-micro_fashion/epoch_12.pth'),
    saliency_head='mean',
)
