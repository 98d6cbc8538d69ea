"""The detector finds an attention map wherever one is made, and none where the fused kernel keeps it to itself."""

import pytest
import torch
from mmpretrain.registry import MODELS
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

import mixpro_mm.backbones  # noqa: F401
from mixpro_mm.benchmark.maps import MapDetector, attention_shapes
from mixpro_mm.benchmark.workbench import Session


def qkv():
    return torch.randn(3, 2, 2, 37, 8, requires_grad=True)


def origins(detector):
    return {origin for origin, _ in detector.found}


def test_an_explicit_map_is_found_in_both_passes_and_among_what_is_saved():
    with MapDetector({(37, 37)}) as detector:
        q, k, v = qkv()
        out = (q @ k.transpose(2, 3)).softmax(-1) @ v
        forward = len(detector.found)
        out.sum().backward()
    assert {shape for _, shape in detector.found} >= {(2, 2, 37, 37)}
    assert {'aten._softmax.default', 'saved for backward', 'aten._softmax_backward_data.default'} <= origins(detector)
    assert 0 < forward < len(detector.found)


def test_the_fused_kernel_makes_none_and_the_plain_one_does():
    for backend, made in ((SDPBackend.FLASH_ATTENTION, False), (SDPBackend.MATH, True)):
        with sdpa_kernel(backend), MapDetector({(37, 37)}) as detector:
            scaled_dot_product_attention(*qkv()).sum().backward()
        assert bool(detector.found) is made


def test_nothing_is_looked_at_before_and_after():
    detector = MapDetector({(37, 37)})
    with detector:
        torch.ones(2, 36, 37)
    torch.ones(37, 37, requires_grad=True).exp().sum().backward()
    assert detector.found == []


@pytest.mark.parametrize('name', ['CutMix', 'TransMix', 'MixPro'])
def test_training_makes_no_map_unless_attention_is_computed_in_the_open(name, bench):
    session = Session(bench, name)
    shapes = attention_shapes(bench.model, torch.randn(1, 3, 48, 48))
    assert shapes == {(37, 37), (36, 36)}
    with session.attached():
        with MapDetector(shapes) as detector:
            session.step(2)
        assert detector.found == []
        with sdpa_kernel(SDPBackend.MATH), MapDetector(shapes) as detector:
            session.step(2)
    assert (2, 2, 37, 37) in {shape for _, shape in detector.found}


def test_queries_and_keys_of_spatial_reduction_differ():
    arch = dict(
        embed_dims=(8, 8, 16, 16),
        num_heads=(1, 1, 2, 2),
        mlp_ratios=(2, 2, 2, 2),
        depths=(1, 1, 1, 1),
        sr_ratios=(4, 2, 2, 1),
    )
    model = MODELS.build(dict(type='ImageClassifier', backbone=dict(type='mixpro_mm.PVT', arch=arch, img_size=96)))
    shapes = attention_shapes(model, torch.randn(1, 3, 96, 96))
    assert {(576, 36), (144, 36), (36, 9), (10, 10)} <= shapes  # 24, 12, 6 and 3 tokens a side
    assert all(not module._forward_hooks for module in model.modules())


def test_the_size_of_the_image_is_no_attention_map():
    """64 patches of 8 pixels cover an image of 64 pixels: masks of 64 x 64 are everywhere."""
    arch = dict(embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=16)
    backbone = dict(type='VisionTransformer', arch=arch, img_size=64, patch_size=8)
    model = MODELS.build(dict(type='ImageClassifier', backbone=backbone))
    assert attention_shapes(model, torch.randn(1, 3, 64, 64)) == {(65, 65)}


def test_a_model_without_attention_is_refused():
    model = MODELS.build(dict(type='ImageClassifier', backbone=dict(type='ResNet', depth=18, base_channels=4)))
    with pytest.raises(ValueError, match='ImageClassifier has no attention module'):
        attention_shapes(model, torch.randn(2, 3, 64, 64))
