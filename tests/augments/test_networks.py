import copy
import itertools
import socket

import pytest
import timm
import torch
import torch.nn.functional as F  # noqa: N812
import torchvision
from mmpretrain.registry import MODELS
from torch import nn
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.vision_transformer import VisionTransformer

from mixpro_mm.augments.networks import FrozenClassifier
from tests import micro
from tests.augments.kit import EXTRACTOR

K, RESNET = micro.CLASSES, EXTRACTOR
SIZE = (64, 96)  # not square, so that rows and columns cannot be confused
VIT, PVT = micro.vit(img_size=SIZE), micro.pvt(img_size=SIZE)
CONVNEXT = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(type='mmpretrain.ConvNeXt', arch=dict(depths=[1] * 4, channels=[4, 8, 8, 16])),
    head=dict(type='mmpretrain.LinearClsHead', num_classes=K, in_channels=16),
)
LENET = CONVNEXT | dict(backbone=dict(type='mmpretrain.LeNet5', num_classes=K))


def build(config):
    """Return a net with random weights, norms and biases."""
    torch.manual_seed(0)
    net = MODELS.build(copy.deepcopy(config)) if isinstance(config, dict) else config()
    for value in net.state_dict().values():
        if value.ndim > 1:
            nn.init.normal_(value, std=value[0].numel() ** -0.5)
        elif value.is_floating_point():
            nn.init.uniform_(value, 0.2, 1)
    return net.eval()


def timm_net(name, **kwargs):
    return lambda: timm.create_model(name, pretrained=False, num_classes=K, **kwargs)


def by_hand(net, images, path, head, grid):
    """Return the output of the module at ``path`` as a map, and the logits (B, K, h, w) at its positions, by loops.

    Tokens lie on ``grid``; ``head`` names norms over channels and linear layers.
    """
    seen = []
    handle = net.get_submodule(path).register_forward_hook(lambda module, args, output: seen.append(output))
    net(images)
    handle.remove()
    features = seen[-1]
    if grid == 'NHWC':
        features = features.permute(0, 3, 1, 2)
    elif grid:
        rows = features[:, -grid[0] * grid[1] :].split(grid[1], dim=1)
        features = torch.stack(rows, 1).permute(0, 3, 1, 2)
    logits = features.new_empty(len(features), K, *features.shape[2:])
    for i, j in itertools.product(*map(range, features.shape[2:])):
        x = features[:, :, i, j]
        for module in map(net.get_submodule, head.split()):
            if isinstance(module, nn.Linear):
                x = module(x)
            else:
                x = F.layer_norm(x, x.shape[1:], module.weight.flatten(), module.bias.flatten(), module.eps)
        logits[:, :, i, j] = x
    return features, logits


TIMM = dict(type='mmpretrain.TimmClassifier', model_name='resnet10t', num_classes=K)
AVERAGED = timm_net('vit_tiny_patch16_224', img_size=SIZE, depth=2, embed_dim=24, global_pool='avg', reg_tokens=2)
SWIN = timm_net('swin_tiny_patch4_window7_224', img_size=SIZE, window_size=2, embed_dim=12, depths=(1,) * 4)
PLAIN = [nn.Sequential(nn.Conv2d(3, 6, 16, 16), nn.Tanh())]
PLAIN.append(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, K)))
NEXT = [CNBlockConfig(4, 8, 1), CNBlockConfig(8, None, 1)]
KINDS = {  # kind -> (net, module of its last map, modules of the head, grid of its tokens)
    'mmpretrain ResNet': (RESNET, 'backbone.layer4', 'head.fc', None),
    'mmpretrain ViT': (VIT, 'backbone.ln1', 'head.layers.head', (8, 12)),
    'mmpretrain ConvNeXt': (CONVNEXT, 'backbone.stages.3', 'backbone.norm3 head.fc', None),
    'PVT': (PVT, 'backbone.norm', 'head.fc', (2, 3)),
    'TimmClassifier': (TIMM, 'model.layer4', 'model.fc', None),
    'timm ViT, norm after the average': (AVERAGED, 'norm', 'fc_norm head', (4, 6)),
    'timm Swin': (SWIN, 'norm', 'head.fc', 'NHWC'),
    'torchvision ConvNeXt': (lambda: ConvNeXt(NEXT, num_classes=K), 'features', 'classifier.0 classifier.2', None),
    'a sequence of modules': (lambda: nn.Sequential(*PLAIN), '0', '1.2', None),
}


@pytest.mark.parametrize('kind', KINDS)
@torch.no_grad()
def test_maps_of_every_kind_worked_out_by_hand(kind):
    config, *where = KINDS[kind]
    net, images, labels = build(config), torch.randn(3, 3, *SIZE), torch.tensor([4, 0, 2])
    features, logits = by_hand(net, images, *where)
    wanted = logits.softmax(1)[range(3), labels]
    assert wanted.std(dim=(1, 2)).min() > 1e-4  # there is something to tell apart
    for extractor in (FrozenClassifier(net), FrozenClassifier.of(net)):
        assert torch.allclose(extractor.feature_map(images), features, atol=1e-5)
        activation = extractor.activation_map(images, labels)
        assert activation.dtype == torch.float32
        assert torch.allclose(activation, wanted, atol=1e-5)


@torch.no_grad()
def test_a_layer_can_be_named():
    arch = dict(image_size=32, patch_size=8, num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=16, num_classes=K)
    net, images, labels = build(lambda: VisionTransformer(**arch)), torch.randn(2, 3, 32, 32), torch.tensor([0, 3])
    wanted = by_hand(net, images, 'encoder.ln', 'heads.head', (4, 4))[1].softmax(1)[range(2), labels]
    assert torch.allclose(FrozenClassifier(net, layer='encoder.ln').activation_map(images, labels), wanted, atol=1e-5)


TAILS = [RESNET, timm_net('mobilenetv3_small_050')]  # the latter has a convolution after the pool
TAILS.append(lambda: torchvision.models.squeezenet1_1(num_classes=K))  # nothing after the pool


@pytest.mark.parametrize('config', TAILS)
@torch.no_grad()
def test_a_map_of_one_position_gives_the_prediction_of_the_net(config):
    net, images, labels = build(config), torch.randn(2, 3, 32, 32), torch.tensor([1, 3])
    activation = FrozenClassifier(net).activation_map(images, labels)
    assert activation.shape == (2, 1, 1)
    assert torch.allclose(activation[:, 0, 0], net(images).softmax(1)[range(2), labels], atol=1e-5)


class Odd(nn.Module):
    """A model with a function between pool and head."""

    def __init__(self, pool=1, function=torch.tanh, used=True):
        super().__init__()
        self.body = nn.Conv2d(3, 4, 16, 16)
        self.pool = nn.AdaptiveAvgPool2d(pool)
        self.fc = nn.Linear(4 * pool**2, K)
        self.function, self.used = function, used

    def forward(self, x):
        x = self.body(x)
        return self.fc(self.function((self.pool(x) if self.used else x.mean((2, 3))).flatten(1)))


UNREADABLE = [  # (net, layer, images, method, message)
    (Odd, None, (3, *SIZE), 'activation_map', '^Odd does more between pool and its logits .* name its module'),
    (lambda: Odd(used=False), None, (3, *SIZE), 'feature_map', '^Odd does not use its AdaptiveAvgPool2d'),
    (lambda: Odd(pool=2), None, (3, *SIZE), 'activation_map', '^the head of Odd cannot .* shapes cannot be mult'),
    (RESNET, 'backbone.layer3', (3, *SIZE), 'activation_map', '^the head of ImageClassifier cannot .* shapes cannot'),
    (RESNET, 'head.fc', (3, *SIZE), 'feature_map', '^layer Linear gives neither a map'),
    (LENET, None, (1, 32, 32), 'feature_map', '^ImageClassifier has a LeNet5 that gives no map .* name its module'),
]


@pytest.mark.parametrize(('net', 'layer', 'shape', 'method', 'message'), UNREADABLE)
def test_classifiers_that_cannot_be_read_raise(net, layer, shape, method, message):
    torch.manual_seed(0)
    extractor, images = FrozenClassifier(build(net), layer=layer), 10 * torch.randn(2, *shape)  # tanh is not linear
    with pytest.raises(ValueError, match=message):
        getattr(extractor, method)(images, *[torch.tensor([0, 1])] * (method == 'activation_map'))


def test_a_classifier_without_a_pool_raises():
    with pytest.raises(ValueError, match=r"^Linear has no nn.AdaptiveAvgPool2d, .* name its module .*layer='...'$"):
        FrozenClassifier(nn.Linear(3, 3))
    assert FrozenClassifier(Odd(pool=2)).feature_map(torch.randn(2, 3, *SIZE)).shape == (2, 4, 4, 6)  # without its head


def state_of(net):
    """Return the modes, hooks and values of a net."""
    modules = [(module.training, len(module._forward_hooks)) for module in net.modules()]
    return modules, [value.tolist() for value in net.state_dict().values()]


@pytest.mark.parametrize('config', [RESNET, VIT])
@pytest.mark.parametrize('live', [False, True])
def test_the_net_is_not_changed_and_computes_in_its_own_precision(config, live):
    net = build(config).train()
    net.backbone.eval()  # a frozen part of a live model
    extractor = FrozenClassifier.of(net) if live else FrozenClassifier(net)
    assert live or not any(module.training for module in net.modules())
    assert all(parameter.requires_grad is live for parameter in net.parameters())
    state = state_of(net)
    images, labels = torch.randn(3, 3, *SIZE).bfloat16().requires_grad_(), torch.tensor([0, 1, 2])
    plain = extractor.activation_map(images, labels)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        activation, features = extractor.activation_map(images, labels), extractor.feature_map(images)
    assert torch.equal(activation, plain)
    assert features.dtype == torch.float32
    assert not activation.requires_grad and not features.requires_grad
    assert state_of(net) == state


def test_names_of_timm_and_torchvision(tmp_path):
    net = build(timm_net('resnet10t'))
    torch.save(net.state_dict(), tmp_path / 'weights.pth')
    named = FrozenClassifier(dict(type='timm.resnet10t', num_classes=K), str(tmp_path / 'weights.pth'))
    assert torch.equal(named.net.fc.weight, net.fc.weight)
    assert type(FrozenClassifier('torchvision.resnet18', False).net).__module__ == 'torchvision.models.resnet'
    for name in ('timm.resnet10x', 'torchvision.resnet'):
        with pytest.raises(ValueError, match=f'^{name.split(".")[0]} has no classifier {name.split(".")[1]!r}$'):
            FrozenClassifier(name, checkpoint=False)


def test_invalid_checkpoints_raise(tmp_path):
    """Unreadable files are tested with ``read_checkpoint``."""
    with pytest.raises(ValueError, match=r'^a frozen classifier needs weights: .*False'):
        FrozenClassifier(RESNET)
    with pytest.raises(FileNotFoundError, match=r'^Checkpoint .*absent.pth is not an existing file'):
        FrozenClassifier(RESNET, tmp_path / 'absent.pth')
    torch.save(build(RESNET).state_dict() | {'x': torch.ones(1)}, tmp_path / 'weights.pth')
    with pytest.raises(ValueError, match=r'^checkpoint .* does not fit ImageClassifier: 1 unexpected \(x\)'):
        FrozenClassifier(RESNET, tmp_path / 'weights.pth')


def test_nothing_is_downloaded(monkeypatch):
    def offline(*args, **kwargs):
        raise AssertionError('network access')

    monkeypatch.setattr(socket.socket, 'connect', offline)
    monkeypatch.setattr(torch.hub, 'load_state_dict_from_url', offline)  # which may find a cached file
    asking = [
        dict(type='timm.resnet10t', pretrained=True),
        dict(type='torchvision.resnet18', weights='DEFAULT'),
        dict(type='mmpretrain.TimmClassifier', model_name='resnet10t', pretrained=True),
        dict(RESNET, pretrained='https://example.com/weights.pth'),
        dict(RESNET, init_cfg=dict(type='Pretrained', checkpoint='https://example.com/weights.pth')),
    ]
    for config in asking:
        FrozenClassifier(config, checkpoint=False)
    with pytest.raises(ValueError, match=r'^HuggingFaceClassifier downloads its config'):
        FrozenClassifier(dict(type='mmpretrain.HuggingFaceClassifier', model_name='a/b'), checkpoint=False)
    with pytest.raises(ValueError, match=r'^hf-hub:a/b is remote: download it'):
        FrozenClassifier(dict(type='mmpretrain.TimmClassifier', model_name='hf-hub:a/b'), checkpoint=False)
