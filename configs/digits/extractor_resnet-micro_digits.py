# ResNet-micro on the embedded digits, without mixing: the extractor of Attentive-CutMix; study_ablation.py trains it first.
# Run:      mim train onedl-mmpretrain configs/digits/extractor_resnet-micro_digits.py
# Result:   top-1 99.2, seed not fixed
_base_ = ['../_base_/digits.py', '../_base_/digits_schedule.py', '../_base_/resnet_micro.py']

model = _base_.resnet_micro
train_cfg = dict(max_epochs=15)
