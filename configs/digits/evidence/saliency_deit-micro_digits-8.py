# The model that defines the salient patches in the occlusion tests of the evidence study. It is trained without mixing
# and with another seed, so that it is not one of the compared models.
# Run:      mim train onedl-mmpretrain configs/digits/evidence/saliency_deit-micro_digits-8.py
_base_ = 'deit-micro_none_digits-8.py'

randomness = dict(seed=100)
