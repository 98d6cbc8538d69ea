# XCiT with patches of 16 px and the recipe of in1k_400e.py. Size variants set width, depth and drop path. The XCiT
# configs of mmpretrain are for testing: they initialize linear layers with std 1 instead of 0.02 and convolutions by
# Kaiming instead of PyTorch's default, and have no label smoothing and no drop path. As in the authors' code, batch
# norms are synchronized; temperatures and the position embedding, a convolution, decay.
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
