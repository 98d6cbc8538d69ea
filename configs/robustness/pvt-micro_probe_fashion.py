# k-NN and logistic regression on frozen features of PVT-micro, as deit-micro_probe_fashion.py.
# Needs:    work_dirs/pvt-micro_mixpro_fashion/epoch_10.pth from configs/fashion/pvt-micro_mixpro_fashion.py
# Run:      mim test onedl-mmpretrain configs/robustness/pvt-micro_probe_fashion.py --checkpoint work_dirs/pvt-micro_mixpro_fashion/epoch_10.pth
# Read:     probe/knn_20, probe/linear, probe/random/knn_20 and probe/random/linear
_base_ = '../fashion/pvt-micro_mixpro_fashion.py'

train_dataloader = dict(dataset=dict(dataset=dict(num_images=5000)))
test_dataloader = dict(dataset=dict(num_images=2000))
test_cfg = dict(type='mixpro_mm.ProbeTestLoop', ks=[20], random=True)
