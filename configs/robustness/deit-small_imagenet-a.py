# DeiT-S on ImageNet-A, 7,500 images of 200 classes of ImageNet-1k that classifiers fail on: top-1 among the 200 classes
# and calibration. The rows of the table differ in the checkpoint.
# Paper:    Table 5, DeiT-S: top-1 19.1, calibration error 32.0, AURRA 23.8; not run here
# Paper:    Table 5, TransMix-DeiT-S: top-1 21.1, calibration error 31.2, AURRA 28.8; not run here
# Paper:    Table 5, MixPro-DeiT-S: top-1 22.4, calibration error 30.3, AURRA 32.4; not run here
# Needs:    one of work_dirs/deit-small_{mixup-cutmix,transmix,mixpro}_8xb128_in1k/epoch_300.pth from configs/pretrain
# Data:     data/imagenet-a, from imagenet-a.tar of github.com/hendrycks/natural-adv-examples
# Run:      mim test onedl-mmpretrain configs/robustness/deit-small_imagenet-a.py --checkpoint work_dirs/deit-small_mixpro_8xb128_in1k/epoch_300.pth
# Read:     calibration/top1, calibration/rms_calibration_error and calibration/aurra, in percent; also in calibration.json
# Others:   replace the first _base_ by another pre-training
# Check:    the released DeiT weights should give top-1 19.1 (timm: 18.7 with bicubic and a crop of 0.9); not run here
#           (python tools/convert_checkpoint.py deit_small_patch16_224.pth checkpoints/deit-small_official.pth --to mmpretrain)
# Unverified: that the first row is the released DeiT checkpoint.
_base_ = ['../pretrain/deit-small_mixup-cutmix_8xb128_in1k.py', '../_base_/natural_adversarial.py']

test_dataloader = dict(dataset=dict(_delete_=True, **_base_.imagenet_a))
test_evaluator = dict(_delete_=True, type='mixpro_mm.CalibrationMetric', classes='dataset')
test_cfg = dict(type='mixpro_mm.RecordedTestLoop', out='calibration.json')
