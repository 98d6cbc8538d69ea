# ResNet-micro on the embedded digits, without mixing: the extractor of Attentive-CutMix, to be trained before it.
# Run:      mim train onedl-mmpretrain configs/digits/ablation/extractor_resnet-micro_digits.py
# Then:     mim train onedl-mmpretrain configs/digits/ablation/table2_deit-micro_attentive-cutmix_digits.py
# Result:   top-1 99.2, seed not fixed
_base_ = ['../../_base_/digits.py', '../../_base_/digits_schedule.py', '../../_base_/resnet_micro.py']

model = _base_.resnet_micro
train_cfg = dict(max_epochs=15)
