"""Jobs of shortened configs."""

NO_VALIDATION = dict(val_dataloader=None, val_evaluator=None, val_cfg=None)
LABEL, WITNESS = dict(type='mixpro_mm.LabelingHook'), dict(type='Witness')
PACK = [dict(type='PackInputs')]
LARGER = [dict(type='Resize', scale=64, interpolation='bicubic'), *PACK]
DEIT, PVT = 'digits/deit-micro_mixpro_digits.py', 'digits/pvt-micro_mixpro_digits.py'
EIGHT = 'digits/evidence/deit-micro_none_digits-8.py'
BATCHES, BATCH = 8, 8  # per epoch, of all ranks
ACCUMULATED = 4  # batches per step
SCENES = dict(
    segmentation=('segmenter_deit-micro_mixpro_digit-scenes.py', 'mmseg', 'scenes/VOCdevkit/VOC2010'),
    detection=('mask-rcnn_pvt-micro_mixpro_digit-scenes.py', 'mmdet', 'scenes/coco'),
)


def pretrain(bench, name, base, processes, **settings):
    """Return a job of two epochs whose batches and masks do not depend on the number of processes."""
    plain = dict(
        custom_hooks=[LABEL, dict(type='SeedByBatch'), WITNESS],
        optim_wrapper=dict(
            _delete_=True,
            optimizer=dict(type='SGD', lr=0.05, momentum=0.9),
            accumulative_counts=ACCUMULATED // processes,
        ),
        param_scheduler=[],
        train_cfg=dict(max_epochs=2, val_interval=100),
        train_dataloader=dict(
            batch_size=BATCH,
            sampler=dict(_delete_=True, type='Dealt', batch=BATCH, batches=BATCHES),
            dataset=dict(pipeline=LARGER if base == PVT else PACK),  # only the mixing is random
        ),
        **NO_VALIDATION,
        default_hooks=dict(logger=dict(interval=1), checkpoint=dict(interval=2) if processes == 1 else None),
        randomness=dict(seed=0),
    )
    return bench.job(name, 'mmpretrain', 'train', bench.config(name, base, **(plain | settings)))


def learn(bench, name, base, **settings):
    """Return a job that trains a classifier for one epoch."""
    plain = dict(
        custom_hooks=[],
        train_cfg=dict(max_epochs=1, val_interval=100),
        train_dataloader=dict(
            batch_size=32,
            sampler=dict(_delete_=True, type='Dealt', batch=32, batches=33),
            dataset=dict(pipeline=PACK),
        ),
        param_scheduler=[],
        **NO_VALIDATION,
        default_hooks=dict(checkpoint=dict(interval=1)),
        randomness=dict(seed=0),
    )
    return bench.job(name, 'mmpretrain', 'train', bench.config(name, base, **plain, **settings))


def transfer(bench, name, task, checkpoint, length):
    """Return a fine-tuning job; ``length`` is in iterations, for detection in epochs."""
    base, host, data = SCENES[task]
    loader = dict(batch_size=2, dataset=dict(data_root=str(bench.folder / data)))
    if task == 'detection':
        loop = dict(type='EpochBasedTrainLoop', max_epochs=length, val_interval=1000)
        loader['sampler'] = dict(_delete_=True, type='Dealt', batch=2, batches=4)
    else:
        loop = dict(type='IterBasedTrainLoop', max_iters=length, val_interval=1000)
    saved = dict(interval=length, by_epoch=task == 'detection')
    config = bench.config(
        name,
        f'digits/{base}',
        model=dict(backbone=dict(init_cfg=dict(checkpoint=str(checkpoint)))),
        custom_hooks=[dict(type='mixpro_mm.TransferCheckHook'), WITNESS],
        train_dataloader=loader,
        train_cfg=dict(_delete_=True, **loop),
        default_hooks=dict(logger=dict(interval=1), checkpoint=dict(_delete_=True, type='CheckpointHook', **saved)),
        **NO_VALIDATION,
        randomness=dict(seed=0),
    )
    return bench.job(name, host, 'train', config)


def evaluations(bench, suffix):
    """Return the evaluation jobs of the checkpoints."""
    folder = bench.folder
    eight, ten = folder / 'eight/epoch_1.pth', folder / 'ten/epoch_1.pth'

    def job(name, base, checkpoint, **settings):
        settings = dict(custom_hooks=[WITNESS], test_dataloader=dict(batch_size=32)) | settings
        config = bench.config(f'{name}{suffix}', base, **settings)
        return bench.job(f'{name}{suffix}', 'mmpretrain', 'test', config, checkpoint)

    guide = dict(saliency=dict(checkpoint=str(ten)), ratios=dict(random=[0.2, 0.5], salient=[0.5]), repeats=2)
    guide['modes'] = ['random', 'salient']
    count = dict(ratios=[0.4], modes=['random', 'non-salient'], repeats=2, protocol='count')
    return [
        job('accuracy', DEIT, ten),
        job('calibration', 'robustness/deit-micro_digits-a.py', eight),
        job('ood', 'robustness/deit-micro_digits-o.py', eight),
        job('naseer', 'robustness/deit-micro_occlusion_digits-8.py', eight, test_cfg=guide),
        job('count', 'robustness/deit-micro_occlusion_digits.py', ten, test_cfg=count),
    ]  # fmt: skip
