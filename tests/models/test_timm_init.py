"""TimmInit: unchanged parameters and checkpoints. tests/test_pretrain_configs.py tests the draws."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS

VIT = dict(type='VisionTransformer', arch=dict(embed_dims=64, num_layers=2, num_heads=4, feedforward_channels=256))
VIT |= dict(img_size=32, patch_size=4)
XCIT = dict(type='XCiT', patch_size=16, img_size=32, embed_dims=64, depth=2, num_heads=4, mlp_ratio=4, qkv_bias=True)
XCIT |= dict(layer_scale_init_value=0.5, out_type='cls_token')
PVT = dict(type='mixpro_mm.PVT', img_size=32)
PVT |= dict(
    arch=dict(
        embed_dims=(8, 16, 32, 64), num_heads=(1, 2, 4, 8), mlp_ratios=(4,) * 4, depths=(1,) * 4, sr_ratios=(8, 4, 2, 1)
    )
)
INIT = dict(type='mixpro_mm.TimmInit')


def classifier(backbone, drawn, **settings):
    """Return a model of 3 classes after ``init_weights``."""
    backbone, head = dict(backbone, init_cfg=drawn), dict(type='LinearClsHead', num_classes=3, in_channels=64)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(ConfigDict(type='ImageClassifier', backbone=backbone, head=head, **settings))
    model.init_weights()
    return model


@pytest.mark.parametrize('backbone', [VIT, XCIT, PVT], ids=lambda backbone: backbone['type'])
@pytest.mark.parametrize('where', ['backbone', 'model'])
def test_a_checkpoint_wins(backbone, where, tmp_path):
    torch.manual_seed(0)
    source = {name: torch.rand_like(value.float()) for name, value in classifier(backbone, INIT).state_dict().items()}
    torch.save(dict(state_dict=source), tmp_path / 'epoch_1.pth')
    file = dict(type='Pretrained', checkpoint=str(tmp_path / 'epoch_1.pth'))
    if where == 'backbone':
        model = classifier(backbone, dict(file, prefix='backbone.'))
    else:
        model = classifier(backbone, INIT, init_cfg=file)
    state = dict(model.backbone.named_parameters())
    assert [name for name in state if not torch.equal(state[name], source[f'backbone.{name}'])] == []


def test_it_leaves_layer_scale_and_the_rest_of_the_model():
    model = classifier(XCIT, INIT, init_cfg=dict(type='Constant', layer='Linear', val=7.0))
    assert (model.backbone.xca_layers[0].gamma1 == 0.5).all()
    assert (model.backbone.xca_layers[0].attn.temperature == 1).all()
    assert model.head.fc.weight.std().item() == pytest.approx(0.01, rel=0.3)  # mmpretrain's
