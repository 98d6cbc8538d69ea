# DeiT-S on ImageNet-O: detection of its 2,000 images, which show no class of ImageNet-1k, by low confidence, against
# the 10,000 validation images of the 200 classes predicted for them. The rows of the table differ in the checkpoint.
# Paper:    Table 5, DeiT-S: AUPR 20.9; not run here
# Paper:    Table 5, TransMix-DeiT-S: AUPR 21.9; not run here
# Paper:    Table 5, MixPro-DeiT-S: AUPR 23.1; not run here
# Needs:    one of work_dirs/deit-small_{mixup-cutmix,transmix,mixpro}_8xb128_in1k/epoch_300.pth from configs/pretrain
# Data:     data/imagenet-o, from imagenet-o.tar of github.com/hendrycks/natural-adv-examples, and data/imagenet
# Run:      mim test onedl-mmpretrain configs/robustness/deit-small_imagenet-o.py --checkpoint work_dirs/deit-small_mixpro_8xb128_in1k/epoch_300.pth
# Read:     ood/aupr, in percent; also in ood.json. One sixth of the images are of ImageNet-O, so it is 16.7 by chance
# Others:   replace the first _base_ by another pre-training
_base_ = ['../pretrain/deit-small_mixup-cutmix_8xb128_in1k.py', '../_base_/natural_adversarial.py']

test_dataloader = dict(dataset=dict(_delete_=True, **_base_.imagenet_o))
test_evaluator = dict(_delete_=True, type='mixpro_mm.OODMetric', classes='dataset')
test_cfg = dict(type='mixpro_mm.RecordedTestLoop', out='ood.json')
