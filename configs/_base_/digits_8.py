# The embedded digits without 8 and 9: 1,158 train and 285 test images. What a model has never seen, it can be asked about.
_base_ = 'digits.py'

classes = list(range(8))
data_preprocessor = dict(num_classes=8)
train_dataloader = dict(dataset=dict(classes=classes))
val_dataloader = dict(dataset=dict(classes=classes))
test_dataloader = val_dataloader
