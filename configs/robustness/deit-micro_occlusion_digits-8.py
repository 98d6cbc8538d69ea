# Occlusion of DeiT-micro on the digits 0 to 7, for the evidence study. What is salient, one model says for all: a DeiT-micro
# that none of the methods has trained, as DINO does for the paper, so that at one loss all lose the same patches.
# The pass over the whole images also gives top-1 and calibration on clean scans.
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
