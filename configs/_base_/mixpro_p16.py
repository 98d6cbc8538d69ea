# MixPro for models with patches of 16 px: cells of 4 x 4 patches, labels by PAL. Cells of 64 px do not tile 224 px: the
# last row and column are cropped, and area labels count pixels.
# Unverified: the scale for CaiT and XCiT; the paper gives one for DeiT only (Figure 5a, Table 7).
mixpro = [dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.MixPro', alpha=1.0, patch_size=16, mask_scale=4)]
custom_hooks = [dict(type='mixpro_mm.LabelingHook')]
