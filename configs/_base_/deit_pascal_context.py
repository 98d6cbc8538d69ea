# DeiT-S on Pascal Context: 4 GPUs x 4 images, 80k iterations, SGD at 1e-3 without weight decay, poly 0.9 to 1e-5, no
# warm-up, fp32, windows of 480 px every 320. What inherits this adds the decoder.
# The paper names its data, its decoders and mmsegmentation, not its settings: these are those of Segmenter's own runs on
# this data (256 epochs, which is 80k iterations). They use SGD with Nesterov, which is what timm means by 'sgd'; here it
# is mmseg's SGD with plain momentum, with which its own Segmenters were trained.
_base_ = ['mmseg_runtime.py', 'pascal_context.py', 'guards.py']

model = dict(
    type='EncoderDecoder',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='mmpretrain.VisionTransformer',
        arch='deit-small',
        img_size=480,
        patch_size=16,
        out_type='featmap',
        final_norm=True,
        drop_path_rate=0.1,
        init_cfg=dict(  # a dict, not a list of it: after a list, this class draws its position embedding anew
            type='Pretrained',
            checkpoint='work_dirs/deit-small_mixpro_8xb128_in1k/epoch_300.pth',
            prefix='backbone.',
        ),
    ),
    decode_head=dict(
        # a mean over labelled pixels, as in PyTorch; mmseg's default divides by the padded ones too
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0, avg_non_ignore=True),
    ),
    test_cfg=dict(mode='slide', crop_size=(480, 480), stride=(320, 320)),
)
custom_hooks = [dict(type='mixpro_mm.TransferCheckHook')]

optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1e-3, momentum=0.9, weight_decay=0.0))
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=1e-5, begin=0, end=80000, by_epoch=False)]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=80000, val_interval=8000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
randomness = dict(seed=0, diff_rank_seed=True)  # with one seed for all, every GPU would drop the same paths
default_hooks = dict(_base_.guards, checkpoint=dict(_base_.guards.checkpoint, interval=8000))
