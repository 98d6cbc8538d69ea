# TransMix for any model: box of CutMix, labels half by area, half by class attention, mask downsampled to the tokens by
# nearest neighbour as in the TransMix code. The recipe is that of MixPro; the TransMix code has batch 256, an EMA, no
# erasing, flipped partners, and weight decay 0.03 for DeiT-S.
transmix = [dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.RegionMix', alpha=1.0)]
custom_hooks = [dict(type='mixpro_mm.LabelingHook', labeling=dict(type='AttentionLabeling', downsample='nearest'))]
