# DeiT-S on Pascal Context: 4 GPUs x 4 images, 80k iterations, SGD at 1e-3 without weight decay, poly 0.9 to 1e-5, no
# warm-up, fp32, sliding windows of 480 px with stride 320. Derived configs add the decoder. The paper gives data,
# decoders and mmsegmentation, but no settings. These are the settings of the Segmenter authors for this data (256
# epochs, 80k iterations), except that they use SGD with Nesterov momentum ('sgd' of timm) and this config uses plain
# momentum, as the Segmenter configs of mmseg do.
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
        init_cfg=dict(  # not a list: the class would reinitialize its position embedding
            type='Pretrained',
            checkpoint='work_dirs/deit-small_mixpro_8xb128_in1k/epoch_300.pth',
            prefix='backbone.',
        ),
    ),
    decode_head=dict(
        # mean over labelled pixels, as in PyTorch; the default of mmseg also counts padded pixels
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
randomness = dict(seed=0, diff_rank_seed=True)  # one seed per GPU, so that GPUs drop different paths
default_hooks = dict(_base_.guards, checkpoint=dict(_base_.guards.checkpoint, interval=8000))
