# k-NN and logistic regression on frozen features of Fashion-MNIST, with the training images of the pre-training. Studies
# test the model of a stage, DeiT-micro or PVT-micro, beside the same model with random weights.
# Run:      python tools/probe.py configs/fashion/deit-micro_mixpro_fashion.py --checkpoint FILE --random
# Read:     probe/knn_20, probe/linear, probe/random/knn_20 and probe/random/linear
_base_ = 'deit-micro_mixpro_fashion.py'

test_cfg = dict(type='mixpro_mm.ProbeTestLoop', ks=[20], random=True)
