# The model that defines the salient patches in the occlusion tests on Fashion-MNIST. It is trained without mixing and
# with another seed, so that it is not one of the compared models.
# Run:      mim train onedl-mmpretrain configs/fashion/evidence/saliency_deit-micro_fashion.py
_base_ = '../deit-micro_mixpro_fashion.py'

model = dict(train_cfg=dict(_delete_=True))
custom_hooks = []
randomness = dict(seed=100)
