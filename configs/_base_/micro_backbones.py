# Backbones of the configs for the digits and Fashion-MNIST, shared by pre-training and fine-tuning.
deit_micro = dict(embed_dims=64, num_layers=4, num_heads=4, feedforward_channels=256)
pvt_micro = dict(
    embed_dims=(32, 64, 128, 256),
    num_heads=(1, 2, 4, 8),
    mlp_ratios=(4, 4, 4, 4),
    depths=(1, 1, 2, 1),
    sr_ratios=(8, 4, 2, 1),
)
