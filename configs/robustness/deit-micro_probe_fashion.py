# k-NN and logistic regression on frozen features of DeiT-micro: 5,000 training and 2,000 test images of Fashion-MNIST,
# beside the same model with random weights.
# Needs:    work_dirs/deit-micro_mixpro_fashion/epoch_12.pth from configs/fashion/deit-micro_mixpro_fashion.py
# Run:      mim test onedl-mmpretrain configs/robustness/deit-micro_probe_fashion.py --checkpoint work_dirs/deit-micro_mixpro_fashion/epoch_12.pth
# Read:     probe/knn_20, probe/linear, probe/random/knn_20 and probe/random/linear
_base_ = '../fashion/deit-micro_mixpro_fashion.py'

train_dataloader = dict(dataset=dict(dataset=dict(num_images=5000)))
test_dataloader = dict(dataset=dict(num_images=2000))
test_cfg = dict(type='mixpro_mm.ProbeTestLoop', ks=[20], random=True)
