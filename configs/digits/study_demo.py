# The main job (`make demo`): pre-train DeiT-micro and PVT-micro with MixPro on the embedded digits, hand both to
# segmentation and detection, and train the same from scratch beside them.
# Run:      python tools/study.py configs/digits/study_demo.py
title = 'MixPro on embedded digits'
seed = 0
jobs = 0  # one per visible GPU, or per core without one

# cost: seconds on one core, roughly; the display of the time left goes by it
deit, pvt, scenes = dict(backbone='DeiT'), dict(backbone='PVT'), dict(needs=['scenes'])
pretrain = dict(task='classification', pretraining='mixpro')
detect = dict(task='detection', cost=260, **pvt, **scenes)
segment = dict(task='segmentation', cost=170, **deit, **scenes)
from_pvt, from_deit = (dict(pretraining='mixpro', checkpoint=stage) for stage in ('pvt_mixpro', 'deit_mixpro'))

data = 'data/digit_scenes'
stages = [
    dict(name='scenes', command=['-m', 'mixpro_mm.datasets.digit_scenes', data], creates=data, cost=15),
    dict(name='deit_mixpro', config='deit-micro_mixpro_digits.py', cost=230, **deit, **pretrain),
    dict(name='pvt_mixpro', config='pvt-micro_mixpro_digits.py', cost=220, **pvt, **pretrain),
    dict(name='maskrcnn_mixpro', config='mask-rcnn_pvt-micro_mixpro_digit-scenes.py', **detect, **from_pvt),
    dict(
        name='maskrcnn_scratch', config='mask-rcnn_pvt-micro_scratch_digit-scenes.py', **detect, pretraining='scratch'
    ),
    dict(name='segmenter_mixpro', config='segmenter_deit-micro_mixpro_digit-scenes.py', **segment, **from_deit),
    dict(
        name='segmenter_scratch',
        config='segmenter_deit-micro_scratch_digit-scenes.py',
        **segment,
        pretraining='scratch',
    ),
]
