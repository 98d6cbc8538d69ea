# `make demo` where Fashion-MNIST cannot be fetched: pre-train DeiT-micro and PVT-micro with MixPro on the digits, transfer
# them to segmentation and detection, and train the same models from scratch.
# Run:      python tools/study.py configs/digits/study_demo.py
title = 'MixPro on embedded digits'
about = """DeiT-micro and PVT-micro were pre-trained on scanned digits with MixPro, then trained to segment and to detect
digits in scenes. The same models were trained from scratch for comparison."""
seed = 0
jobs = 0  # one per visible GPU, else one per core

deit, pvt, scenes = dict(backbone='DeiT'), dict(backbone='PVT'), dict(needs=['scenes'])
pretrain = dict(task='classification', pretraining='mixpro', data='digits')
detect = dict(task='detection', data='digit scenes', **pvt, **scenes)
segment = dict(task='segmentation', data='digit scenes', **deit, **scenes)
from_pvt, from_deit = (dict(pretraining='mixpro', checkpoint=stage) for stage in ('pvt_mixpro', 'deit_mixpro'))

data = 'data/digit_scenes'
stages = [
    dict(name='scenes', command=['-m', 'mixpro_mm.datasets.digit_scenes', data], creates=data),
    dict(name='deit_mixpro', config='deit-micro_mixpro_digits.py', **deit, **pretrain),
    dict(name='pvt_mixpro', config='pvt-micro_mixpro_digits.py', **pvt, **pretrain),
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
