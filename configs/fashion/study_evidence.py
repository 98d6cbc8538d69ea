# The evidence study (`make study`) on Fashion-MNIST: DeiT-micro pre-trained with seven methods and five seeds, tested on
# whole, occluded, adversarially filtered and unknown images; PVT-micro with four methods and three seeds; Segmenter and
# Mask R-CNN from these checkpoints. docs/evidence.md has the results, docs/development/pilot.md the choice of sizes.
# Run:      python tools/study.py configs/fashion/study_evidence.py
# A part:   python tools/study.py configs/fashion/study_evidence.py --seeds 3 --methods cutmix transmix mixpro
_base_ = '../_base_/fashion_methods.py'

title = 'MixPro against its rivals on Fashion-MNIST'
seed = 0
jobs = 0  # one per visible GPU, else one per core

pretrain = dict(task='classification', data='Fashion-MNIST', needs=['fashion'])
deit = dict(config='deit-micro_mixpro_fashion.py', backbone='DeiT-micro', seeds=5, **pretrain)
pvt = dict(config='pvt-micro_mixpro_fashion.py', backbone='PVT-micro', seeds=3, **pretrain)
transfer = dict(data='fashion scenes', needs=['scenes'], seeds=3)
segment = dict(
    config='segmenter_deit-micro_mixpro_fashion-scenes.py',
    task='segmentation',
    backbone='DeiT-micro',
    tta=True,
    **transfer,
)
detect = dict(
    config='mask-rcnn_pvt-micro_mixpro_fashion-scenes.py',
    task='detection',
    backbone='PVT-micro',
    **transfer,
)

images, scenes = 'data/fashion-mnist', 'data/fashion_scenes'
write_scenes = ['-m', 'mixpro_mm.datasets.fashion_scenes', scenes, '--data-root', images]
stages = [
    dict(name='fashion', command=['-m', 'mixpro_mm.datasets.fashion_mnist', images], creates=images),
    dict(name='scenes', command=write_scenes, creates=scenes, needs=['fashion']),
]
stages += [
    dict(name=f'deit_{method}', pretraining=method, cfg_options=_base_.deit_schedule | options, **deit)
    for method, options in _base_.deit_methods.items()
]
stages += [
    dict(name=f'pvt_{method}', pretraining=method, cfg_options=_base_.pvt_schedule | options, **pvt)
    for method, options in _base_.methods.items()
    if method != 'mixup'
]
for method in ('none', 'cutmix', 'transmix', 'mixpro'):
    stages += [
        dict(name=f'segmenter_{method}', pretraining=method, checkpoint=f'deit_{method}', **segment),
        dict(name=f'maskrcnn_{method}', pretraining=method, checkpoint=f'pvt_{method}', **detect),
    ]
