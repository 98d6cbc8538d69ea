# Occlusion of DeiT-micro on the digits: patches of 4 px set to black at random and by its attention, averaged over
# heads. Digits are bright on black, so black patches remove strokes only. The model attends to the background beside
# the strokes as much as to the strokes, so salient patches are not only those of the strokes.
# Needs:    work_dirs/deit-micro_mixpro_digits/epoch_50.pth from configs/digits/deit-micro_mixpro_digits.py
# Run:      mim test onedl-mmpretrain configs/robustness/deit-micro_occlusion_digits.py --checkpoint work_dirs/deit-micro_mixpro_digits/epoch_50.pth
_base_ = '../digits/deit-micro_mixpro_digits.py'

test_cfg = dict(
    type='mixpro_mm.OcclusionTestLoop',
    protocol='naseer',
    grid=8,
    repeats=5,
    seed=0,
    saliency='self',
    saliency_head='mean',
)
