# Robustness of DeiT-micro on Fashion-MNIST: suites of tools/robustness.py. Corruptions of 500 test images padded to 32
# px, the least that imagecorruptions takes.
# Needs:    work_dirs/deit-micro_mixpro_fashion/epoch_12.pth from configs/fashion/deit-micro_mixpro_fashion.py
# Run:      python tools/robustness.py configs/robustness/deit-micro_robustness_fashion.py --checkpoint work_dirs/deit-micro_mixpro_fashion/epoch_12.pth
# Read:     work_dirs/deit-micro_robustness_fashion/robustness/robustness.md
_base_ = '../fashion/deit-micro_mixpro_fashion.py'

fashion_test = dict(_base_.fashion, split='test')
crop = [dict(type='mixpro_mm.Corrupt'), dict(type='CenterCrop', crop_size=28), dict(type='PackInputs')]
ood_pipeline = [*_base_.test_pipeline[:-1], dict(type='PackInputs', algorithm_keys=['ood'])]
fashion_o = dict(type='mixpro_mm.FashionO', data_root='data/fashion-mnist', img_size=28, pipeline=ood_pipeline)
calibration = dict(type='mixpro_mm.CalibrationMetric')
suites = dict(
    fashion=dict(test_dataloader=dict(dataset=fashion_test), test_evaluator=calibration),
    corruptions=dict(
        test_dataloader=dict(
            dataset=dict(
                type='mixpro_mm.CorruptedDataset',
                dataset=dict(fashion_test, img_size=32, num_images=500, pipeline=crop),
            )
        ),
        test_evaluator=dict(type='mixpro_mm.CorruptionMetric'),
    ),
    adversarial=dict(
        test_dataloader=dict(dataset=dict(fashion_test, type='mixpro_mm.FashionA')),
        test_evaluator=dict(calibration, bin_size=25),
    ),
    digits=dict(
        test_dataloader=dict(dataset=dict(fashion_o, unknown='digits')),
        test_evaluator=dict(type='mixpro_mm.OODMetric'),
    ),
    occlusion=dict(
        test_dataloader=dict(dataset=dict(fashion_test, num_images=1000)),
        test_evaluator=dict(type='Accuracy'),
        test_cfg=dict(type='mixpro_mm.OcclusionTestLoop', grid=7, modes=['random'], repeats=3, seed=0),
    ),
)
