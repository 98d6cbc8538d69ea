import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from mixpro_mm.models import PVT
from mixpro_mm.transfer import compare


class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 1)
        self.norm1 = nn.BatchNorm2d(width)
        self.scaled = parametrizations.weight_norm(nn.Linear(width, 2))
        self.register_buffer('index', torch.arange(3))
        self.conv.weight.requires_grad = False


def pair():
    """Return a module and a complete file of its 11 tensors."""
    net = Net()
    for tensor in net.state_dict().values():
        tensor.copy_(torch.randn_like(tensor.float()).mul(9))
    return net, {f'backbone.{key}': value.clone() for key, value in net.state_dict().items()}


def test_complete_file():
    net, file = pair()
    coverage = compare(net, {**file, 'head.fc.weight': torch.ones(2), 'head.fc.bias': torch.ones(2)}, 'backbone.')
    assert coverage.to_dict()['complete'] is True and coverage.ratio == 1
    assert sorted(coverage.loaded) == sorted(net.state_dict())
    assert coverage.dropped == ['head.*']
    assert '11 of 11 tensors of Net (100.0%)' in coverage.summary() and '\n' not in coverage.summary()
    assert coverage.summary().endswith(', 0 of them resized; not loaded: head.*')
    assert compare(net, file, 'backbone.').summary().endswith('; not loaded: nothing')


@pytest.mark.parametrize('name', list(Net().state_dict()))
def test_every_kind_of_tensor_counts(name):
    net, file = pair()
    net.state_dict()[name].add_(1)
    coverage = compare(net, file, 'backbone.')
    assert coverage.altered == [name] and not coverage.complete
    assert coverage.ratio == 10 / 11


def test_missing_unexpected_and_mismatched_tensors():
    net, file = pair()
    del file['backbone.conv.bias'], file['backbone.norm1.num_batches_tracked']
    file |= {'backbone.conv.extra': torch.ones(1), 'backbone.index': torch.arange(4)}
    coverage = compare(net, file, 'backbone.')
    assert (coverage.missing, coverage.unexpected) == (['conv.bias'], ['backbone.conv.extra'])
    assert coverage.mismatched == [dict(name='index', file=[4], module=[3])]
    assert coverage.ratio == 8 / 10
    coverage = compare(net, file, 'backbone.', allow=['conv.*'])
    assert (coverage.fresh, coverage.missing, coverage.unexpected) == (['conv.bias'], [], [])
    assert coverage.total == 9


def test_unexpected_entries_unless_allowed_or_for_classification():
    net, file = pair()
    file |= {'backbone.cls_token': torch.ones(1), 'backbone.norm.bias': torch.ones(1)}
    coverage = compare(net, file, 'backbone.')
    assert coverage.complete and coverage.dropped == ['backbone.cls_token', 'backbone.norm.bias']
    file |= {'backbone.ln1.bias': torch.ones(1)}
    coverage = compare(net, file, 'backbone.')
    assert coverage.ratio == 1 and coverage.unexpected == ['backbone.ln1.bias'] and not coverage.complete
    assert compare(net, file, 'backbone.', allow=['ln1.*']).complete
    assert not compare(net, file, 'backbone.', allow='ln2.*').complete  # one pattern, not one per letter


def test_half_precision_files_are_compared_after_loading():
    net, file = pair()
    file = {key: value.half() if value.is_floating_point() else value for key, value in file.items()}
    held, given = copy.deepcopy(net.state_dict()), copy.deepcopy(file)
    assert not compare(net, file, 'backbone.').complete
    torch.testing.assert_close((dict(net.state_dict()), file), (dict(held), given), rtol=0, atol=0)  # not modified
    assert not net._load_state_dict_post_hooks
    net.load_state_dict({key[9:]: value for key, value in file.items()})
    assert compare(net, file, 'backbone.').complete


def pvt(img_size, out_type):
    arch = dict(embed_dims=[8] * 4, num_heads=[1] * 4, mlp_ratios=[1] * 4, depths=[1] * 4, sr_ratios=[2, 2, 2, 1])
    return PVT(arch, img_size=img_size, out_type=out_type)


@pytest.mark.parametrize('img_size', [64, (96, 128)])
def test_pvt_with_feature_maps_drops_the_class_token(img_size):
    file = {f'backbone.{key}': value for key, value in pvt(64, 'cls_token').state_dict().items()}
    net = pvt(img_size, 'featmap')
    assert not compare(net, file, 'backbone.').complete
    net.load_state_dict({key[9:]: value for key, value in file.items()})
    coverage = compare(net, file, 'backbone.')
    assert coverage.complete
    names = ('cls_token', 'norm.bias', 'norm.weight', 'pos_embed4 (class row)')
    assert coverage.dropped == [f'backbone.{name}' for name in names]
    shapes = {
        entry['name']: (entry['file'], entry['module'], 'class_row_dropped' in entry) for entry in coverage.resized
    }
    assert shapes['pos_embed4'] == ([1, 5, 8], [1, 4 if img_size == 64 else 12, 8], True)
    if img_size == 64:
        assert shapes.keys() == {'pos_embed4'}
    else:
        assert shapes.keys() == {f'pos_embed{i}' for i in range(1, 5)}
        assert shapes['pos_embed1'] == ([1, 256, 8], [1, 768, 8], False)
    net.pos_embed4.data[0, 0, 0] += 1
    assert compare(net, file, 'backbone.').altered == ['pos_embed4']


def test_names_changed_or_removed_by_a_load_hook_are_not_unexpected():
    net, file = pair()
    file |= {'backbone.old_index': file.pop('backbone.index'), 'backbone.attn_mask': torch.ones(1)}
    assert compare(net, file, 'backbone.').unexpected == ['backbone.old_index', 'backbone.attn_mask']

    def convert(state_dict, *_):
        state_dict['index'] = state_dict.pop('old_index')
        del state_dict['attn_mask']

    net._register_load_state_dict_pre_hook(convert)
    coverage = compare(net, file, 'backbone.')
    assert coverage.complete and 'index' in coverage.loaded
    assert coverage.dropped == ['backbone.attn_mask', 'backbone.old_index']


def test_failing_load_hook():
    net, file = pair()
    net._register_load_state_dict_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ValueError, match='Net cannot load the tensors of the file: division by zero'):
        compare(net, file, 'backbone.')
