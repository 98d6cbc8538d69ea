"""TimmInit: unchanged parameters and checkpoints. tests/test_pretrain_configs.py tests the draws."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS

from tests import micro

VIT = micro.vit()['backbone']
XCIT = dict(type='XCiT', patch_size=16, img_size=32, embed_dims=32, depth=2, num_heads=4, mlp_ratio=4, qkv_bias=True)
XCIT |= dict(layer_scale_init_value=0.5, out_type='cls_token')
PVT = micro.pvt(img_size=32)['backbone']
INIT = dict(type='mixpro_mm.TimmInit')


def classifier(backbone, drawn, **settings):
    """Return a model of 3 classes after ``init_weights``."""
    backbone, head = dict(backbone, init_cfg=drawn), dict(type='LinearClsHead', num_classes=3, in_channels=32)
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
    inner = where == 'backbone'
    model = classifier(backbone, dict(file, prefix='backbone.')) if inner else classifier(backbone, INIT, init_cfg=file)
    assert all(torch.equal(p, source[f'backbone.{name}']) for name, p in model.backbone.named_parameters())


def test_it_leaves_layer_scale_and_the_rest_of_the_model():
    model = classifier(XCIT, INIT, init_cfg=dict(type='Constant', layer='Linear', val=7.0))
    assert (model.backbone.xca_layers[0].gamma1 == 0.5).all()
    assert (model.backbone.xca_layers[0].attn.temperature == 1).all()
    assert model.head.fc.weight.std().item() == pytest.approx(0.01, rel=0.3)  # mmpretrain's
