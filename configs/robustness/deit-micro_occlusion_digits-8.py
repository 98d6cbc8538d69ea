# Occlusion of DeiT-micro on the digits 0 to 7, for the evidence study. A separate DeiT-micro defines the salient
# patches of all models, as DINO in the paper, so that all models lose the same patches. The pass over whole images also
# measures top-1 and calibration.
# Needs:    work_dirs/saliency_deit-micro_digits-8/epoch_25.pth from configs/digits/evidence/saliency_deit-micro_digits-8.py
# Needs:    work_dirs/deit-micro_mixpro_digits-8/epoch_25.pth from configs/digits/evidence/deit-micro_mixpro_digits-8.py
# Run:      mim test onedl-mmpretrain configs/robustness/deit-micro_occlusion_digits-8.py --checkpoint work_dirs/deit-micro_mixpro_digits-8/epoch_25.pth
# Read:     occlusion/MODE_RATIO, accuracy/top1 and calibration/ece, in percent
_base_ = '../digits/evidence/deit-micro_mixpro_digits-8.py'

test_cfg = dict(
    type='mixpro_mm.OcclusionTestLoop',
    protocol='naseer',
    grid=8,
    repeats=3,
    seed=0,
    saliency=dict(
        type='VisionTransformer',
        arch=_base_.deit_micro,
        img_size=32,
        patch_size=4,
        checkpoint='work_dirs/saliency_deit-micro_digits-8/epoch_25.pth',
    ),
    saliency_head='mean',
)
test_evaluator = [
    dict(type='Accuracy', topk=(1,)),
    dict(type='mixpro_mm.CalibrationMetric', bin_size=20),
]
