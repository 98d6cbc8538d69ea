import copy
import socket

import pytest
import timm
import torch
import torchvision
from mmpretrain.registry import MODELS
from torch import nn
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.vision_transformer import VisionTransformer

from mixpro_mm.augments.networks import FrozenClassifier

K = 5
SIZE = (64, 96)  # not square, so that rows and columns cannot be confused


def image_classifier(backbone, head='LinearClsHead', width=32, neck=None, **kwargs):
    return dict(
        type='mmpretrain.ImageClassifier',
        backbone=backbone,
        neck=neck,
        head=dict(type=f'mmpretrain.{head}', num_classes=K, in_channels=width, **kwargs),
    )


GAP = dict(type='mmpretrain.GlobalAveragePooling')
RESNET = image_classifier(dict(type='mmpretrain.ResNet', depth=18, stem_channels=4, base_channels=4), neck=GAP)
VIT_ARCH = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=16)
VIT_NET = dict(type='mmpretrain.VisionTransformer', arch=VIT_ARCH, img_size=SIZE, patch_size=16)
VIT = image_classifier(VIT_NET, 'VisionTransformerClsHead', 16)
PVT_ARCH = dict(
    embed_dims=(8, 8, 16, 16), num_heads=(1, 1, 2, 2), mlp_ratios=(2,) * 4, depths=(1,) * 4, sr_ratios=(8, 4, 2, 1)
)
PVT = image_classifier(dict(type='mixpro_mm.PVT', arch=PVT_ARCH, img_size=SIZE), 'VisionTransformerClsHead', 16)
CONVNEXT = image_classifier(
    dict(type='mmpretrain.ConvNeXt', arch=dict(depths=[1] * 4, channels=[4, 8, 8, 16])), width=16
)


def build(config):
    """Return a net with random weights, norms and biases."""
    torch.manual_seed(0)
    net = MODELS.build(copy.deepcopy(config)) if isinstance(config, dict) else config()
    for parameter in net.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
        else:
            nn.init.uniform_(parameter, -0.2, 1)
    for name, buffer in net.named_buffers():
        if name.endswith('running_var'):
            nn.init.uniform_(buffer, 0.5, 2)
    return net.eval()


def timm_net(name, **kwargs):
    return lambda: timm.create_model(name, pretrained=False, num_classes=K, **kwargs)


def by_position(features, classifier):
    """Return logits (B, K, h, w) of a classifier on every position of a map (B, C, h, w), by loops."""
    rows = [torch.stack([classifier(position) for position in row.unbind(2)], 2) for row in features.unbind(2)]
    return torch.stack(rows, 2)


def as_map(tokens, grid):
    return torch.stack([tokens[:, i * grid[1] : (i + 1) * grid[1]] for i in range(grid[0])], 1).permute(0, 3, 1, 2)


def last_tokens(module, net, images):
    seen = []
    handle = module.register_forward_hook(lambda module, args, output: seen.append(output))
    net(images)
    handle.remove()
    return seen[-1]


def pvt_map(net, images):
    tokens = last_tokens(net.backbone.block4[-1], net, images)
    return as_map(net.backbone.norm(tokens)[:, 1:], (2, 3))


def channel_norm(rows, norm):
    centred = rows - rows.mean(1, keepdim=True)
    scaled = centred / (centred.square().mean(1, keepdim=True) + norm.eps).sqrt()
    return scaled * norm.weight.flatten() + norm.bias.flatten()


def mm_convnext_map(net, images):
    net = copy.deepcopy(net)
    net.backbone.gap_before_final_norm, net.backbone.norm3 = False, nn.Identity()
    return net.backbone(images)[-1]


# kind -> (net, its last map by hand, the head for rows (M, C) of it by hand)
KINDS = {
    'mmpretrain ResNet': (RESNET, lambda net, x: net.backbone(x)[-1], lambda net: net.head.fc),
    'mmpretrain ViT': (
        VIT,
        lambda net, x: as_map(last_tokens(net.backbone.ln1, net, x)[:, 1:], (4, 6)),
        lambda net: net.head.layers.head,
    ),
    'mmpretrain ConvNeXt': (
        CONVNEXT,
        mm_convnext_map,
        lambda net: lambda rows: net.head.fc(channel_norm(rows, net.backbone.norm3)),
    ),
    'PVT': (PVT, pvt_map, lambda net: net.head.layers.head),
    'TimmClassifier': (
        dict(type='mmpretrain.TimmClassifier', model_name='resnet10t', num_classes=K),
        lambda net, x: net.model.forward_features(x),
        lambda net: net.model.fc,
    ),
    'timm ViT, norm after the average': (
        timm_net('vit_tiny_patch16_224', img_size=SIZE, depth=2, embed_dim=24, global_pool='avg', reg_tokens=2),
        lambda net, x: as_map(net.forward_features(x)[:, 3:], (4, 6)),
        lambda net: lambda rows: net.head(net.fc_norm(rows)),
    ),
    'timm Swin': (
        timm_net('swin_tiny_patch4_window7_224', img_size=SIZE, window_size=2, embed_dim=12, depths=(1,) * 4),
        lambda net, x: net.forward_features(x).permute(0, 3, 1, 2),
        lambda net: net.head.fc,
    ),
    'torchvision ConvNeXt': (
        lambda: ConvNeXt([CNBlockConfig(4, 8, 1), CNBlockConfig(8, None, 1)], num_classes=K),
        lambda net, x: net.features(x),
        lambda net: lambda rows: net.classifier[2](channel_norm(rows, net.classifier[0])),
    ),
    'a sequence of modules': (
        lambda: nn.Sequential(
            nn.Sequential(nn.Conv2d(3, 6, 16, 16), nn.Tanh()),
            nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, K)),
        ),
        lambda net, x: net[0](x),
        lambda net: net[1][2],
    ),
}


@pytest.mark.parametrize('kind', KINDS)
@torch.no_grad()
def test_maps_of_every_kind_worked_out_by_hand(kind):
    config, features_by_hand, head_by_hand = KINDS[kind]
    net = build(config)
    images, labels = torch.randn(3, 3, *SIZE), torch.tensor([4, 0, 2])
    features = features_by_hand(net, images)
    probabilities = by_position(features, head_by_hand(net)).softmax(1)
    wanted = torch.stack([one[label] for one, label in zip(probabilities, labels, strict=True)])
    assert wanted.std(dim=(1, 2)).min() > 1e-4  # there is something to tell apart
    for extractor in (FrozenClassifier(net), FrozenClassifier.of(net)):
        assert torch.allclose(extractor.feature_map(images), features, atol=1e-5)
        activation = extractor.activation_map(images, labels)
        assert activation.dtype == torch.float32
        assert torch.allclose(activation, wanted, atol=1e-5)


@pytest.mark.parametrize(
    'config',
    [
        RESNET,
        timm_net('mobilenetv3_small_050'),  # a convolution behind the pool
        lambda: torchvision.models.squeezenet1_1(num_classes=K),  # nothing behind the pool
    ],
)
@torch.no_grad()
def test_a_map_of_one_position_gives_the_prediction_of_the_net(config):
    net, labels = build(config), torch.tensor([1, 3])
    images = torch.randn(2, 3, 32, 32)
    logits = net(images)
    activation = FrozenClassifier(net).activation_map(images, labels)
    assert activation.shape == (2, 1, 1)
    assert torch.allclose(activation[:, 0, 0], logits.softmax(1)[range(2), labels], atol=1e-5)


@torch.no_grad()
def test_a_layer_can_be_named():
    net = build(
        lambda: VisionTransformer(
            image_size=32, patch_size=8, num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=16, num_classes=K
        )
    )
    images, labels = torch.randn(2, 3, 32, 32), torch.tensor([0, 3])
    tokens = as_map(last_tokens(net.encoder.ln, net, images)[:, 1:], (4, 4))
    wanted = by_position(tokens, net.heads.head).softmax(1)[range(2), labels]
    assert torch.allclose(FrozenClassifier(net, layer='encoder.ln').activation_map(images, labels), wanted, atol=1e-5)
    resnet, images = build(RESNET), torch.randn(2, 3, *SIZE)
    named = FrozenClassifier(resnet, layer='backbone.layer4')
    assert torch.equal(named.activation_map(images, labels), FrozenClassifier(resnet).activation_map(images, labels))


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


def test_running_out_of_memory_is_not_replaced():
    extractor, calls = FrozenClassifier(Odd(function=nn.Identity())), []

    def fail(module, args):
        calls.append(module)
        if len(calls) > 1:  # the first is of the images
            raise torch.OutOfMemoryError('Tried to allocate 2.00 GiB')

    extractor.net.fc.register_forward_pre_hook(fail)
    with pytest.raises(torch.OutOfMemoryError):
        extractor.activation_map(torch.randn(2, 3, *SIZE), torch.tensor([0, 1]))


LENET = image_classifier(dict(type='mmpretrain.LeNet5', num_classes=K), width=K)
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
    return modules, {name: value.clone() for name, value in net.state_dict().items()}


@pytest.mark.parametrize('config', [RESNET, VIT])
@pytest.mark.parametrize('live', [False, True])
def test_the_net_is_not_changed_and_computes_in_its_own_precision(config, live):
    net = build(config).train()
    net.backbone.eval()  # a frozen part of a live model
    extractor = FrozenClassifier.of(net) if live else FrozenClassifier(net)
    assert live or not any(module.training for module in net.modules())
    assert all(parameter.requires_grad is live for parameter in net.parameters())
    modes, values = state_of(net)
    images, labels = torch.randn(3, 3, *SIZE).bfloat16().requires_grad_(), torch.tensor([0, 1, 2])
    plain = extractor.activation_map(images, labels)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        activation, features = extractor.activation_map(images, labels), extractor.feature_map(images)
    assert torch.equal(activation, plain)
    assert features.dtype == torch.float32
    assert not activation.requires_grad and not features.requires_grad
    after = state_of(net)
    assert after[0] == modes and all(torch.equal(value, after[1][name]) for name, value in values.items())


def test_a_live_model_is_neither_copied_nor_cast():
    net = build(RESNET).bfloat16()
    extractor = FrozenClassifier.of(net)
    images, labels = torch.randn(2, 3, *SIZE), torch.tensor([0, 1])
    first = extractor.activation_map(images, labels)
    assert first.dtype == torch.float32 and net.head.fc.weight.dtype == torch.bfloat16
    nn.init.normal_(net.head.fc.weight)
    assert not torch.allclose(extractor.activation_map(images, labels), first, atol=1e-3)


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
    with pytest.raises(FileNotFoundError, match=r'^Checkpoint .*absent.pth is not an existing file'):
        FrozenClassifier(RESNET, tmp_path / 'absent.pth')
    torch.save(build(RESNET).state_dict() | {'x': torch.ones(1)}, tmp_path / 'weights.pth')
    with pytest.raises(ValueError, match=r'^checkpoint .* does not fit ImageClassifier: 1 unexpected \(x\)'):
        FrozenClassifier(RESNET, tmp_path / 'weights.pth')


def test_nothing_is_downloaded(monkeypatch):
    def offline(*args, **kwargs):
        raise AssertionError('network access')

    monkeypatch.setattr(socket.socket, 'connect', offline)
    monkeypatch.setattr(torch.hub, 'load_state_dict_from_url', offline)
    monkeypatch.setattr(timm.models._builder, 'load_pretrained', offline)
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
