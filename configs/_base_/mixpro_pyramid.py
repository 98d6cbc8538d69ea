# MixPro for pyramid models, whose class attention has a grid of 7 x 7 at stride 32: a mask cell is a cell of that grid.
# 32 px is the only size that tiles 224 px and fits the grid.
# Unverified: the mask scale; the paper gives none for pyramid models, the released code has 56 px for a plain Swin.
mixpro = [dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.MixPro', alpha=1.0, patch_size=32, mask_scale=1)]
custom_hooks = [dict(type='mixpro_mm.LabelingHook')]
