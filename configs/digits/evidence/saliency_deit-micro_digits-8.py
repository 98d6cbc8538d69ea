# The model whose attention says which patches are salient in the occlusion tests of the evidence study: trained without
# mixing and with a seed of its own, so that it is none of the models compared.
# Run:      mim train onedl-mmpretrain configs/digits/evidence/saliency_deit-micro_digits-8.py
_base_ = 'deit-micro_none_digits-8.py'

randomness = dict(seed=100)
