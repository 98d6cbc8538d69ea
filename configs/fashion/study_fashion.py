# The demo (`make demo`): pre-train DeiT-micro and PVT-micro with MixPro on Fashion-MNIST, transfer them to segmentation
# and detection of garments in scenes, and train the same models from scratch.
# Run:      python tools/study.py configs/fashion/study_fashion.py
title = 'MixPro on Fashion-MNIST'
about = """DeiT-micro and PVT-micro were pre-trained on Fashion-MNIST with MixPro, then trained to segment and to detect
garments in scenes. The same models were trained from scratch for comparison."""
seed = 0
jobs = 0  # one per visible GPU, else one per core

deit, pvt = dict(backbone='DeiT'), dict(backbone='PVT')
pretrain = dict(task='classification', pretraining='mixpro', data='Fashion-MNIST', needs=['fashion'])
probe = {name: dict(probe=f'../robustness/{name}-micro_probe_fashion.py') for name in ('deit', 'pvt')}
detect = dict(task='detection', data='fashion scenes', needs=['scenes'], **pvt)
segment = dict(task='segmentation', data='fashion scenes', needs=['scenes'], **deit)
from_pvt, from_deit = (dict(pretraining='mixpro', checkpoint=stage) for stage in ('pvt_mixpro', 'deit_mixpro'))

images, scenes = 'data/fashion-mnist', 'data/fashion_scenes'
write_scenes = ['-m', 'mixpro_mm.datasets.fashion_scenes', scenes, '--data-root', images]
mixpro, scratch = 'micro_mixpro_fashion-scenes.py', 'micro_scratch_fashion-scenes.py'
stages = [
    dict(name='fashion', command=['-m', 'mixpro_mm.datasets.fashion_mnist', images], creates=images),
    dict(name='scenes', command=write_scenes, creates=scenes, needs=['fashion']),
    dict(name='pvt_mixpro', config='pvt-micro_mixpro_fashion.py', evaluations=probe['pvt'], **pvt, **pretrain),
    dict(name='deit_mixpro', config='deit-micro_mixpro_fashion.py', evaluations=probe['deit'], **deit, **pretrain),
    dict(name='segmenter_scratch', config=f'segmenter_deit-{scratch}', **segment, pretraining='scratch'),
    dict(name='segmenter_mixpro', config=f'segmenter_deit-{mixpro}', **segment, **from_deit),
    dict(name='maskrcnn_scratch', config=f'mask-rcnn_pvt-{scratch}', **detect, pretraining='scratch'),
    dict(name='maskrcnn_mixpro', config=f'mask-rcnn_pvt-{mixpro}', **detect, **from_pvt),
]
