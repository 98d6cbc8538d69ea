"""Loss parameters in TimmClassifier, which renames keys."""

import torch

import mixpro_mm.models.classifiers as patched
from tests import micro as kit

LEARNABLE = dict(type='mixpro_mm.LearnableFactor', loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1))


def test_the_parameter_of_a_loss_is_saved_and_found_again():
    model, other = (kit.classifier(LEARNABLE, build=kit.timm_vit) for _ in range(2))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.25)
    state = model.state_dict()
    assert {'loss_module.raw_factor', 'patch_embed.proj.weight'} <= state.keys()  # names in timm
    assert other.load_state_dict(state) == ([], [])
    assert other.loss_module.raw_factor.item() == 0.25
    assert all(map(torch.equal, model.parameters(), other.parameters()))
    assert list(state) == list(model.state_dict())  # the caller's dict is not modified


def test_weights_that_timm_has_loaded_are_kept(tmp_path):
    """mmengine calls ``init_weights`` of timm's ViT, which redraws every weight."""
    model = kit.classifier(LEARNABLE, build=kit.timm_vit)
    weights = {name: torch.full_like(value, 0.5) for name, value in model.model.state_dict().items()}
    model.model.load_state_dict(weights)
    model.init_weights()
    assert all(torch.equal(value, weights[name]) for name, value in model.model.state_dict().items())
    torch.save(weights, tmp_path / 'weights.pth')
    model.init_cfg, model._is_init = dict(type='Pretrained', checkpoint=str(tmp_path / 'weights.pth')), False
    with torch.no_grad():
        model.model.head.weight.zero_()
    model.init_weights()  # a file named by init_cfg is loaded as before
    assert torch.equal(model.model.head.weight, weights['head.weight'])


def test_the_prefix_is_not_added_to_the_loss():
    for classifier in (patched.TimmClassifier, patched.HuggingFaceClassifier):
        for prefix in ('', 'net.'):
            state = {f'{prefix}{key}': 1 for key in ('a', 'loss_module.raw_factor', 'loss_modules')}
            classifier._add_state_dict_prefix(state, prefix, {}, True, [], [], [])
            assert state.keys() == {prefix + key for key in ('model.a', 'loss_module.raw_factor', 'model.loss_modules')}
