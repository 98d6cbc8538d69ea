# The pilot of the study on Fashion-MNIST: chooses the number of training images, with one seed. Tested on 10,000
# training images that are not used for training; no test image is read. docs/development/pilot.md has the results.
# Run:      python tools/study.py configs/fashion/study_fashion_pilot.py
_base_ = '../_base_/fashion_methods.py'

title = 'Pilot: how many training images'
seed = 0
jobs = 0  # one per visible GPU, else one per core

held_out = {}
for part in ('val_dataloader', 'test_dataloader'):
    held_out |= {f'{part}.dataset.split': 'val', f'{part}.dataset.num_images': 10000}


def images(number):  # batches of 64, 6,000 steps
    epochs = 6000 * 64 // number
    schedule = {'train_cfg.max_epochs': epochs, 'train_cfg.val_interval': epochs * 9 // 10}
    schedule |= {'param_scheduler.0.end': 5, 'param_scheduler.1.begin': 5}  # warm-up, in epochs
    return {'train_dataloader.dataset.dataset.num_images': number} | schedule


stages = [
    dict(
        name=f'deit_{method}_{number}',
        config='deit-micro_mixpro_fashion.py',
        task='classification',
        backbone=f'DeiT-micro, {number} images',
        pretraining=method,
        data='Fashion-MNIST, held out',
        cfg_options=images(number) | held_out | _base_.deit_methods[method],
    )
    for number in (1280, 2560)
    for method in ('none', 'cutmix', 'transmix', 'mixpro')
]
