# The evidence study (`make study`) on the digits: DeiT-micro pre-trained with six methods and five seeds, tested on
# whole, occluded, adversarially filtered and unknown digits; PVT-micro with four methods and three seeds; Segmenter and
# Mask R-CNN from these checkpoints. docs/evidence.md has the results.
# Run:      python tools/study.py configs/digits/study_evidence.py
# A part:   python tools/study.py configs/digits/study_evidence.py --seeds 3 --methods cutmix transmix mixpro
title = 'MixPro against its rivals on embedded digits'
about = """
Micro models were pre-trained on the scanned digits 0 to 7 of scikit-learn with three or five seeds, then tested as in
the paper. Data and models are far smaller than those of the paper, so this page neither confirms nor refutes it.
"make study" repeats all measurements (80 minutes on 2 cores).

CutMix corresponds to the baselines of the paper, which alternate Mixup and CutMix. All methods use the same loss and
alternate with Mixup in the same way, except no mixing. MaskMix has labels by area: MixPro - MaskMix is the effect of
progressive attention labeling. Only TokenMix has a teacher, the moving average of its own weights, and is tested with
that average. Occlusion is the mean top-1 over the points of a curve without the point at loss 0; one fixed DeiT-micro,
trained without mixing, determines the salient patches for all methods. The adversarial and the out-of-distribution set
are digits, filtered like ImageNet-A and ImageNet-O.
"""
seed = 0
jobs = 0  # one per visible GPU, else one per core

methods = ('none', 'cutmix', 'transmix', 'tokenmix', 'maskmix', 'mixpro')
transferred = ('none', 'cutmix', 'transmix', 'mixpro')
deit, pvt = dict(backbone='DeiT-micro', seeds=5), dict(backbone='PVT-micro', seeds=3)
robustness = dict(
    occlusion='../robustness/deit-micro_occlusion_digits-8.py',
    A='../robustness/deit-micro_digits-a.py',
    O='../robustness/deit-micro_digits-o.py',
)
data = 'data/digit_scenes'
saliency = 'saliency_deit-micro_digits-8'  # defines the salient patches for all models
train_it = [
    '-m',
    'mixpro_mm.study.stage',
    f'configs/digits/evidence/{saliency}.py',
    '--work-dir',
    f'work_dirs/{saliency}',
]
stages = [
    dict(name='scenes', command=['-m', 'mixpro_mm.datasets.digit_scenes', data], creates=data),
    dict(
        name='saliency',
        command=[*train_it, '--seed', '100'],
        creates=f'work_dirs/{saliency}/epoch_25.pth',
    ),
]
stages += [
    dict(
        name=f'deit_{method}',
        config=f'evidence/deit-micro_{method}_digits-8.py',
        task='classification',
        data='digits',
        pretraining=method,
        evaluations=robustness,
        needs=['saliency'],
        **deit,
    )
    for method in methods
]
stages += [
    dict(
        name=f'pvt_{method}',
        config=f'evidence/pvt-micro_{method}_digits-8.py',
        task='classification',
        data='digits',
        pretraining=method,
        **pvt,
    )
    for method in transferred
]
stages += [
    dict(
        name=f'segmenter_{method}',
        config='evidence/segmenter_deit-micro_digit-scenes.py',
        task='segmentation',
        data='digit scenes',
        pretraining=method,
        checkpoint=f'deit_{method}',
        needs=['scenes'],
        tta=True,
        **dict(deit, seeds=3),
    )
    for method in transferred
]
stages += [
    dict(
        name=f'maskrcnn_{method}',
        config='evidence/mask-rcnn_pvt-micro_digit-scenes.py',
        task='detection',
        data='digit scenes',
        pretraining=method,
        checkpoint=f'pvt_{method}',
        needs=['scenes'],
        **pvt,
    )
    for method in transferred
]
