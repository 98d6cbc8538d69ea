# Test sets of tools/robustness.py for classifiers of ImageNet-1k: docs/robustness.md. Without a pipeline of its own, a data
# set has the test pipeline of the classifier's config.
_base_ = 'natural_adversarial.py'

imagenet_val = dict(type='mixpro_mm.ImageNet1k', data_root='data/imagenet', split='val')
calibration = dict(type='mixpro_mm.CalibrationMetric', classes='dataset')
suites = {
    'imagenet': dict(
        test_dataloader=dict(dataset=imagenet_val), test_evaluator=dict(type='mixpro_mm.CalibrationMetric')
    ),
    'imagenet-real': dict(
        test_dataloader=dict(dataset=imagenet_val),
        test_evaluator=dict(type='mixpro_mm.RealLabelAccuracy', ann_file='data/imagenet/real.json'),
    ),
    'imagenet-v2': dict(
        test_dataloader=dict(dataset=dict(type='mixpro_mm.ImageNetV2', data_root='data/imagenet-v2')),
        test_evaluator=calibration,
    ),
    'imagenet-r': dict(
        test_dataloader=dict(
            dataset=dict(type='mixpro_mm.ImageNetR', data_root='data/imagenet-r', pipeline=_base_.natural_pipeline)
        ),
        test_evaluator=calibration,
    ),
    'imagenet-sketch': dict(
        test_dataloader=dict(dataset=dict(type='mixpro_mm.ImageNetSketch', data_root='data/imagenet-sketch')),
        test_evaluator=calibration,
    ),
    'imagenet-a': dict(test_dataloader=dict(dataset=_base_.imagenet_a), test_evaluator=calibration),
    'imagenet-o': dict(
        test_dataloader=dict(dataset=_base_.imagenet_o),
        test_evaluator=dict(type='mixpro_mm.OODMetric', classes='dataset'),
    ),
    'imagenet-c': dict(
        test_dataloader=dict(
            dataset=dict(
                type='mixpro_mm.ImageNetC',
                data_root='data/imagenet-c',
                pipeline=[
                    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
                    dict(type='CenterCrop', crop_size=224),  # the files have 224 px
                    dict(type='PackInputs'),
                ],
            )
        ),
        test_evaluator=dict(type='mixpro_mm.CorruptionMetric', reference='alexnet'),
    ),
    # made of a tenth of the validation images; not comparable with ImageNet-C, so without mCE
    'corruptions': dict(
        test_dataloader=dict(dataset=dict(type='mixpro_mm.CorruptedDataset', every=10, dataset=imagenet_val)),
        test_evaluator=dict(type='mixpro_mm.CorruptionMetric'),
    ),
    'occlusion': dict(
        test_dataloader=dict(dataset=imagenet_val, sampler=dict(type='DefaultSampler', shuffle=True, seed=0)),
        test_evaluator=dict(type='Accuracy'),
        test_cfg=dict(type='mixpro_mm.OcclusionTestLoop', modes=['random'], seed=0),
    ),
}
