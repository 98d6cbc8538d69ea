# MixPro for models with patches of 16 px: cells of 4 x 4 patches, labels by PAL. 64 px do not tile 224: the last row
# and column of cells are cut, and the area label counts pixels.
# Unverified: that CaiT and XCiT take the same scale; the paper names one for DeiT alone (Figure 5a, Table 7).
mixpro = [dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.MixPro', alpha=1.0, patch_size=16, mask_scale=4)]
custom_hooks = [dict(type='mixpro_mm.LabelingHook')]
