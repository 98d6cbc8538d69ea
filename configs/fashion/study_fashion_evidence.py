# The evidence study on Fashion-MNIST: DeiT-micro pre-trained with seven methods and five seeds, tested on
# whole, occluded, adversarially filtered and unknown images; PVT-micro with four methods and three seeds; Segmenter and
# Mask R-CNN from four of these. 79 stages, 6 hours on 2 cores. docs/development/pilot.md: the pilot.
# Run:      python tools/study.py configs/fashion/study_fashion_evidence.py
# A part:   python tools/study.py configs/fashion/study_fashion_evidence.py --seeds 3 --methods cutmix transmix mixpro
_base_ = '../_base_/fashion_methods.py'

title = 'MixPro and other mixing methods on Fashion-MNIST'
about = """DeiT-micro (64 channels, 4 blocks) was pre-trained on 1,280 images of Fashion-MNIST with seven methods, PVT-micro
with four; Segmenter and Mask R-CNN started from these checkpoints. Top-1 is measured on the 10,000 test images; n is
the number of seeds. Data and models are far smaller than those of the paper, so this page neither confirms nor refutes
it.

CutMix corresponds to the baselines of the paper, which alternate Mixup and CutMix. The seven methods use the same loss, and all
but no mixing and Mixup alternate with Mixup in the same way. MaskMix has labels by area, so MixPro - MaskMix is the effect
of progressive attention labeling. Only TokenMix has a teacher, the moving average of its own weights, and is tested with
that average. Occlusion is the mean top-1 over the points of a curve without that at loss 0, on 1,000 test images; one
fixed DeiT-micro, trained without mixing, determines the salient patches. The adversarial set consists of 408 test images
that a small CNN misclassifies. The digits of scikit-learn are out of distribution.

Five seeds of DeiT-micro and three of PVT-micro are planned. Where a method has more, they were added because intervals
were wide (docs/development/pilot.md)."""
seed = 0
jobs = 0  # one per visible GPU, else one per core

robustness = dict(
    occlusion='../robustness/deit-micro_occlusion_fashion.py',
    calibration='../robustness/deit-micro_calibration_fashion.py',
    A='../robustness/deit-micro_fashion-a.py',
    O='../robustness/deit-micro_fashion-o.py',
)
pretrain = dict(task='classification', data='Fashion-MNIST')
deit = dict(config='deit-micro_mixpro_fashion.py', backbone='DeiT-micro', seeds=5, evaluations=robustness)
deit |= dict(needs=['fashion', 'saliency'], **pretrain)
pvt = dict(config='pvt-micro_mixpro_fashion.py', backbone='PVT-micro', seeds=3, needs=['fashion'], **pretrain)
# cells of tables whose other rows are in study_fashion_ablation.py
cells = dict(
    cutmix=[('table6', 'cutmix', 'top1'), ('table7', 'region', 'deit-micro')],
    transmix=[('table6', 'cutmix-transmix', 'top1')],
    maskmix=[('table7', 'random-2x', 'deit-micro')],
    mixpro=[
        ('table6', 'maskmix-pal', 'top1'),
        ('table10', 'pal', 'error'),
        ('figure5a', 'scale-2', 'error'),
        ('figure5b', 'beta-1', 'error'),
    ],
)
transfer = dict(data='fashion scenes', needs=['scenes'])
segment = dict(
    config='segmenter_deit-micro_mixpro_fashion-scenes.py',
    task='segmentation',
    backbone='DeiT-micro',
    tta=True,
    seeds=5,
    **transfer,
)
detect = dict(
    config='mask-rcnn_pvt-micro_mixpro_fashion-scenes.py',
    task='detection',
    backbone='PVT-micro',
    seeds=3,
    **transfer,
)

images, scenes = 'data/fashion-mnist', 'data/fashion_scenes'
saliency = 'work_dirs/saliency_deit-micro_fashion'  # defines the salient patches for all models
train_it = ['-m', 'mixpro_mm.study.stage', 'configs/fashion/evidence/saliency_deit-micro_fashion.py']
train_it += ['--work-dir', saliency, '--seed', '100']
write_scenes = ['-m', 'mixpro_mm.datasets.fashion_scenes', scenes, '--data-root', images]
stages = [
    dict(name='fashion', command=['-m', 'mixpro_mm.datasets.fashion_mnist', images], creates=images),
    dict(name='scenes', command=write_scenes, creates=scenes, needs=['fashion']),
    dict(name='saliency', command=train_it, creates=f'{saliency}/epoch_12.pth', needs=['fashion']),
]
stages += [
    dict(
        name=f'deit_{method}',
        pretraining=method,
        cfg_options=_base_.deit_schedule | options,
        cells=cells.get(method, []),
        **deit,
    )
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
