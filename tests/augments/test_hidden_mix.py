"""Manifold Mixup and MixToken, which mix tokens in the model, against tokens mixed by hand."""

import copy
import pickle

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch import nn

from mixpro_mm.augments import ManifoldMixup, MixToken
from mixpro_mm.functional.masks import paste
from tests import micro
from tests.config_rows import CONFIGS
from tests.micro import CLASSES

MODELS = dict(ViT=(micro.vit, 32, 8), timm=(micro.timm_vit, 32, 8), PVT=(micro.pvt, 128, 4))
XCIT = dict(
    type='XCiT', patch_size=8, embed_dims=32, depth=2, num_heads=2, cls_attn_layers=1, mlp_ratio=2, tokens_norm=True
)


def batch_of(size, count=6):
    torch.manual_seed(1)
    return torch.randn(count, 3, size, size), torch.eye(CLASSES)[torch.arange(count) % CLASSES]


def bound(augment, model):
    augment.bind(model)
    return augment


def hooks_of(model):
    return sum(len(module._forward_hooks) for module in model.modules())


def logits_of(model, images):
    return model(images, mode='tensor')


@pytest.mark.parametrize('name', MODELS)
@pytest.mark.parametrize('ratio', ['batch', 'sample'])
def test_mix_token_is_cutmix_of_whole_patches_where_patches_do_not_overlap(name, ratio):
    build, size, patch = MODELS[name]
    model = micro.classifier(build=build).eval()
    images, labels = batch_of(size)
    augment = bound(MixToken(patch_size=patch, ratio=ratio, partner='flip'), model)
    same, blended = augment(images, labels)
    found, target = logits_of(model, same), augment.pop_target()
    augment.unbind()
    index = torch.arange(len(images)).flip(0)
    assert torch.equal(same, images) and 0 < target.lam_area.mean() < 1
    assert (target.mask.unfold(2, patch, patch).unfold(3, patch, patch).float().std((4, 5)) == 0).all()
    torch.testing.assert_close(found, logits_of(model, paste(target.mask, images, index)))
    lam = target.lam_area[:, None]
    torch.testing.assert_close(blended, lam * labels + (1 - lam) * labels[index])
    assert len(target.lam_area.unique()) == 1 if ratio == 'batch' else len(target.lam_area.unique()) > 1


def test_a_convolutional_embedding_sees_one_image_only():
    """In XCiT, tokens next to the border of the box are those of the unmixed images, which pixels cannot give."""
    model = micro.lively(micro.image_classifier(XCIT, 'LinearClsHead', micro.STOCK)).eval()
    images, labels = batch_of(32)
    tokens, given = [], []
    augment = bound(MixToken(patch_size=8, partner='flip'), model)
    model.backbone.xca_layers[0].register_forward_pre_hook(lambda _, args: given.append(args[0]))
    for batch in (images, images.flip(0)):
        tokens.append(model.backbone.patch_embed(batch)[0])
    augment(images, labels)
    logits_of(model, images)
    own = augment.pop_target().mask[:, 0, ::8, ::8].flatten(1)
    augment.unbind()
    positions = given[0] - torch.where(own[..., None], *tokens)
    torch.testing.assert_close(positions, positions[:1].expand_as(positions))  # the same position embedding for all


@pytest.mark.parametrize('name', MODELS)
@pytest.mark.parametrize('layer', [1, 2])
def test_manifold_mixup_interpolates_all_tokens_after_a_block(name, layer):
    build, size, _ = MODELS[name]
    depths = dict(depths=(2, 1, 1, 1)) if name == 'PVT' else {}
    model = micro.classifier(build=build, **depths).eval()
    images, labels = batch_of(size)
    augment = bound(ManifoldMixup(layers=[layer], ratio='sample', partner='flip'), model)
    same, blended = augment(images, labels)
    found, target = logits_of(model, same), augment.pop_target()
    augment.unbind()
    lam = target.weights[:, :1]
    inner = model.model if name == 'timm' else model.backbone
    blocks = inner.blocks if name == 'timm' else inner.layers if name == 'ViT' else inner.block1
    by_hand = lambda *args: lam[..., None] * args[2] + (1 - lam[..., None]) * args[2].flip(0)  # noqa: E731
    with blocks[layer - 1].register_forward_hook(by_hand):
        torch.testing.assert_close(found, logits_of(model, images), rtol=1e-4, atol=1e-4)
    assert torch.equal(same, images) and lam.min() > 0 and lam.max() < 1 and len(lam.unique()) == len(images)
    torch.testing.assert_close(blended, lam * labels + (1 - lam) * labels.flip(0))


def test_manifold_mixup_of_layer_0_is_mixup():
    images, labels = batch_of(32)
    augment = bound(ManifoldMixup(layers=[0], partner='flip'), micro.classifier())
    mixed, _ = augment(images, labels)
    lam = augment.pop_target().weights[0, 0]
    torch.testing.assert_close(mixed, lam * images + (1 - lam) * images.flip(0))


def test_every_layer_is_drawn():
    model = micro.classifier().eval()
    images, labels = batch_of(32)
    augment, drawn = bound(ManifoldMixup(layers=(0, 1, 2)), model), []
    torch.manual_seed(0)
    for _ in range(60):
        mixed, _ = augment(images, labels)
        drawn.append(0 if augment._chosen is None else 1 + list(model.backbone.layers).index(augment._chosen[0]))
        assert torch.equal(mixed, images) == (drawn[-1] > 0)
        logits_of(model, mixed)
        augment.pop_target()
    assert all(10 < drawn.count(layer) < 30 for layer in range(3))


METHODS = [(MixToken, dict(patch_size=8)), (ManifoldMixup, dict(layers=[1]))]


@pytest.mark.parametrize(('kind', 'settings'), METHODS, ids=['MixToken', 'ManifoldMixup'])
def test_only_the_next_pass_is_mixed_and_only_chosen_samples(kind, settings):
    model = micro.classifier().eval()
    images, labels = batch_of(32, 40)
    plain, before = logits_of(model, images), hooks_of(model)
    augment = bound(kind(prob=0.5, ratio='sample', partner='flip', **settings), model)
    torch.manual_seed(0)
    _, blended = augment(images, labels)
    mixed = logits_of(model, images)
    target = augment.pop_target()
    unmixed = (target.lam_area if target.weights is None else target.weights[:, 0]) == 1
    assert 10 < unmixed.sum() < 36 and torch.equal(blended[unmixed], labels[unmixed])
    torch.testing.assert_close(mixed[unmixed], plain[unmixed])
    assert ((mixed - plain)[~unmixed].abs().amax(1) > 1e-3).float().mean() > 0.5
    torch.testing.assert_close(logits_of(model, images), plain)  # nothing is pending
    augment.bind(model)
    assert hooks_of(model) == before + 1  # not twice
    augment.unbind()
    assert hooks_of(model) == before


@pytest.mark.parametrize(('kind', 'settings'), METHODS, ids=['MixToken', 'ManifoldMixup'])
def test_what_is_not_mixed_raises(kind, settings):
    images, labels = batch_of(32)
    with pytest.raises(RuntimeError, match=f'^{kind.__name__} needs .*LabelingHook'):
        kind(**settings)(images, labels)
    model = micro.classifier()
    augment = bound(kind(**settings), model)
    augment(images, labels)
    augment.pop_target()
    with pytest.raises(RuntimeError, match=r'tokens of the last batch were not mixed: .* did not call'):
        augment(images, labels)
    augment.discard()  # after an interrupted run
    augment(images, labels)
    augment.bind(model)
    augment(images, labels)
    for twin in (copy.deepcopy(augment), pickle.loads(pickle.dumps(augment))):
        assert (twin._bound, twin._chosen) == (None, None)


def test_what_does_not_fit_the_model_raises():
    images, labels = batch_of(32)
    model = micro.classifier()
    with pytest.raises(ValueError, match='after block 3, but VisionTransformer has 2 blocks'):
        ManifoldMixup(layers=[0, 3]).bind(model)
    for layers in ([], [-1], [True], 'all'):
        with pytest.raises(ValueError, match='layers must be'):
            ManifoldMixup(layers=layers)
    with pytest.raises(ValueError, match='which Linear does not have'):
        MixToken().bind(nn.Linear(2, 2))
    with pytest.raises(ValueError, match='patch_size 12 of MixToken does not divide an image of 32x32 pixels'):
        bound(MixToken(patch_size=12), model)(images, labels)
    augment = bound(MixToken(patch_size=4), model)
    augment(images, labels)
    with pytest.raises(ValueError, match=r'patch_size 4 of MixToken makes 64 tokens .* gives \(6, 16, 32\)'):
        logits_of(model, images)


def test_gradients_reach_both_images():
    model = micro.classifier().eval()
    for kind, settings in METHODS:
        images, labels = batch_of(32, 2)
        images.requires_grad_()
        augment = bound(kind(partner='flip', **settings), model)
        torch.manual_seed(3)
        augment(images, labels)
        logits_of(model, images)[0].sum().backward()
        augment.unbind()
        assert (images.grad.abs().amax((1, 2, 3)) > 0).all()


def test_attention_cannot_re_weight_labels_without_areas(tmp_path):
    config = Config.fromfile(CONFIGS / 'digits' / 'deit-micro_mixpro_digits.py')
    config.model.train_cfg = dict(augments=[dict(type='mixpro_mm.ManifoldMixup')])
    config.train_dataloader.dataset.indices = config.val_dataloader.dataset.indices = 64
    config.work_dir = str(tmp_path)
    with pytest.raises(ValueError, match=r"ManifoldMixup mixes labels by a ratio.*labeling='AreaLabeling'"):
        Runner.from_cfg(config).train()


@pytest.mark.parametrize('augment', [dict(type='MixToken', patch_size=4), dict(type='ManifoldMixup')])
def test_the_hook_binds_and_trains(augment, tmp_path):
    config = Config.fromfile(CONFIGS / 'digits' / 'deit-micro_mixpro_digits.py')
    config.model.backbone.arch, config.model.head.in_channels = micro.ARCH, 32
    config.model.train_cfg = dict(augments=[dict(augment, type=f'mixpro_mm.{augment["type"]}')])
    config.custom_hooks = [dict(type='mixpro_mm.LabelingHook', labeling='AreaLabeling')]
    config.train_dataloader.update(batch_size=16, dataset=dict(config.train_dataloader.dataset, indices=48))
    config.val_dataloader.dataset.indices = 16
    config.train_cfg.max_epochs, config.work_dir = 6, str(tmp_path)
    runner = Runner.from_cfg(config)
    before = hooks_of(runner.model)
    runner.train()
    assert runner.iter == 18 and hooks_of(runner.model) == before
