# The main job (`make demo`): pre-train DeiT-micro and PVT-micro with MixPro on the embedded digits, hand both to
# segmentation and detection, and train the same from scratch beside them.
# Run:      python tools/study.py configs/digits/study_demo.py
title = 'MixPro on embedded digits'
seed = 0
jobs = 0  # as many as there are cores

scenes = ('scenes',)
stages = [
    dict(name='scenes', command=['-m', 'mixpro_mm.datasets.digit_scenes', 'data/digit_scenes'], cost=15),
    dict(name='pvt_mixpro', config='pvt-micro_mixpro_digits.py', task='classification', backbone='PVT', pretraining='mixpro', cost=200),
    dict(name='deit_mixpro', config='deit-micro_mixpro_digits.py', task='classification', backbone='DeiT', pretraining='mixpro', cost=200),
    dict(name='maskrcnn_scratch', config='mask-rcnn_pvt-micro_scratch_digit-scenes.py', task='detection', backbone='PVT', pretraining='scratch', needs=scenes, cost=200),
    dict(name='maskrcnn_mixpro', config='mask-rcnn_pvt-micro_mixpro_digit-scenes.py', task='detection', backbone='PVT', pretraining='mixpro', checkpoint='pvt_mixpro', needs=scenes, cost=200),
    dict(name='segmenter_scratch', config='segmenter_deit-micro_scratch_digit-scenes.py', task='segmentation', backbone='DeiT', pretraining='scratch', needs=scenes, cost=100),
    dict(name='segmenter_mixpro', config='segmenter_deit-micro_mixpro_digit-scenes.py', task='segmentation', backbone='DeiT', pretraining='mixpro', checkpoint='deit_mixpro', needs=scenes, cost=100),
]  # fmt: skip
