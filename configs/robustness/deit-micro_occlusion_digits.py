# Occlusion of DeiT-micro on the digits: patches of 4 px turned black at random and by its own attention, mean of its heads.
# A digit is bright on black paper: black patches take ink away and leave the paper as it is. This small model attends
# as much to the paper beside the strokes as to the strokes, so do not expect salient patches to be those of the ink.
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
