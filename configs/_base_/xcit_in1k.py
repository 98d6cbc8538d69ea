# XCiT with patches of 16 px in the recipe of in1k_400e.py; sizes add width, depth, drop path. mmpretrain's configs of
# it are for testing: trained from them, linear layers would start at std 1 in place of 0.02, convolutions by Kaiming in
# place of torch's default, labels would not be smoothed and no path dropped. As in the authors' code, batch norms see
# all GPUs at once; temperatures and the position embedding, which is a convolution, decay.
_base_ = 'in1k_400e.py'

sync_bn = 'torch'
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='XCiT',
        patch_size=16,
        mlp_ratio=4,
        qkv_bias=True,
        tokens_norm=True,
        out_type='cls_token',
        init_cfg=dict(type='mixpro_mm.TimmInit'),
    ),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        loss=_base_.label_smooth,
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02),
    ),
)
