# The pilot of the evidence study on Fashion-MNIST, one seed: the same images and steps, tested on 10,000 training images
# that are not used for training. No test image is read. docs/development/pilot.md has the results.
# Run:      python tools/study.py configs/fashion/study_fashion_pilot.py
_base_ = '../_base_/fashion_methods.py'

title = 'Pilot on held-out training images of Fashion-MNIST'
seed = 0
jobs = 0  # one per visible GPU, else one per core

held_out = {}
for part in ('val_dataloader', 'test_dataloader'):
    held_out |= {f'{part}.dataset.split': 'val', f'{part}.dataset.num_images': 10000}

images = 'data/fashion-mnist'
stages = [dict(name='fashion', command=['-m', 'mixpro_mm.datasets.fashion_mnist', images], creates=images)]
stages += [
    dict(
        name=f'deit_{method}',
        config='deit-micro_mixpro_fashion.py',
        task='classification',
        backbone='DeiT-micro',
        pretraining=method,
        data='Fashion-MNIST, held out',
        cfg_options=_base_.deit_schedule | held_out | _base_.methods[method],
        needs=['fashion'],
    )
    for method in ('none', 'cutmix', 'transmix', 'mixpro')
]
