# TransMix for any model: CutMix's box, its labels weighed half by area, half by class attention, the mask brought to
# the tokens by nearest neighbour as in its code. The recipe around it is MixPro's; TransMix's own code has batch 256, an
# EMA, no erasing, partners by flip, and for DeiT-S weight decay 0.03.
transmix = [dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.RegionMix', alpha=1.0)]
custom_hooks = [dict(type='mixpro_mm.LabelingHook', labeling=dict(type='AttentionLabeling', downsample='nearest'))]
