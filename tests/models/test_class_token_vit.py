import copy

import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.models import VisionTransformer
from mmpretrain.registry import MODELS

from mixpro_mm.augments.networks import FrozenClassifier
from mixpro_mm.labeling import ClassAttentionTap
from mixpro_mm.models import ClassTokenViT, LocalContextLoss

ARCH = dict(embed_dims=16, num_layers=2, num_heads=4, feedforward_channels=32)


def pair(**kwargs):
    """Return mmpretrain's model and ours with the same weights."""
    torch.manual_seed(0)
    stock = VisionTransformer(arch=ARCH, img_size=24, patch_size=8, **kwargs)
    for parameter in stock.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        own = MODELS.build(dict(type='mixpro_mm.ClassTokenViT', arch=ARCH, img_size=24, patch_size=8, **kwargs))
    own.load_state_dict(stock.state_dict())
    return stock, own


@pytest.mark.parametrize('kwargs', [{}, dict(layer_scale_init_value=0.1), dict(final_norm=False)])
def test_output_gradients_and_class_attention_equal_mmpretrain(kwargs):
    models, images = pair(**kwargs), torch.randn(3, 3, 24, 24)
    outputs, rows = [], []
    for model in models:
        tap = ClassAttentionTap(model).attach()
        outputs.append(model(images)[0])
        rows.append(tap.read())
        tap.release()
        outputs[-1].square().sum().backward()
    torch.testing.assert_close(*outputs)
    torch.testing.assert_close(*rows)
    for (name, a), b in zip(models[0].named_parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=name)


def test_drop_path_and_copies_keep_the_short_last_block():
    own = copy.deepcopy(pair(drop_path_rate=0.5)[1])
    shapes = []
    own.layers[-1].register_forward_hook(lambda module, args, output: shapes.append(tuple(output.shape)))
    own(torch.randn(2, 3, 24, 24))
    assert shapes == [(2, 1, 16)]


def test_attention_that_is_trained_is_verified_and_final_tokens_are_not_offered():
    own, images = pair()[1], torch.randn(1, 3, 24, 24)
    ClassAttentionTap(own).verify(lambda: own(images))
    loss = LocalContextLoss(dict(type='CrossEntropyLoss'), in_channels=16, num_classes=2, grid=3)
    with pytest.raises(ValueError, match='ClassTokenViT'):
        loss.attach(own)
    classifier = torch.nn.Module()
    classifier.backbone, classifier.head = own, torch.nn.Identity()
    with pytest.raises(ValueError, match=r"ClassTokenViT has no patch tokens .* type='VisionTransformer'"):
        FrozenClassifier.of(classifier)


def test_other_outputs_raise():
    with pytest.raises(ValueError, match=r"out_type='featmap': use type='VisionTransformer'"):
        ClassTokenViT(arch=ARCH, img_size=24, patch_size=8, out_type='featmap')
