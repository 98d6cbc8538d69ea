# ResNet-micro on the digits 0 to 7, without mixing: the CNN that filters DigitsA and DigitsO, as a ResNet-50 filtered
# ImageNet-A and ImageNet-O. Its results are stored in mixpro_mm/datasets/filtered_digits.json.
# Run:      mim train onedl-mmpretrain configs/digits/evidence/filter_resnet-micro_digits-8.py
# Then:     python -m mixpro_mm.datasets.filtered_digits configs/digits/evidence/filter_resnet-micro_digits-8.py work_dirs/filter_resnet-micro_digits-8/epoch_15.pth OUT.json
_base_ = '../extractor_resnet-micro_digits.py'

classes = list(range(8))
data_preprocessor = dict(num_classes=8)
train_dataloader = val_dataloader = test_dataloader = dict(dataset=dict(classes=classes))
model = dict(head=dict(num_classes=8))
randomness = dict(seed=0)
