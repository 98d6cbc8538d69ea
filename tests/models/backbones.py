"""Small PVT and CASwin, by name."""

import torch

from mixpro_mm.models import PVT, CASwin

PVT_ARCH = dict(embed_dims=(16, 32, 64, 128), num_heads=(1, 2, 4, 8), mlp_ratios=(4, 4, 2, 2), depths=(1, 1, 2, 2))
PVT_ARCH['sr_ratios'] = (8, 4, 2, 1)
SWIN_ARCH = dict(embed_dims=8, depths=[1, 1, 2, 2], num_heads=[1, 2, 2, 4])  # at 64: maps of 16, 8, 4, 2
CLASSES = dict(PVT=PVT, CASwin=CASwin)
MICRO = {  # class -> (arguments, channels of the class token)
    'PVT': (dict(arch=PVT_ARCH, img_size=64), 128),
    'CASwin': (dict(arch=SWIN_ARCH, img_size=64, window_size=2), 64),
}
MATCH = dict(rtol=1e-5, atol=1e-5)


def noisy(model):
    """Return the model in eval mode with noise on all parameters."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    model.eval()  # returns None in mmpretrain
    return model


def micro(name, seed=0, **kwargs):
    """Return a small model with noise on all parameters."""
    torch.manual_seed(seed)
    return noisy(CLASSES[name](**{**MICRO[name][0], **kwargs}))


def images(*size, batch=2):
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(1))
