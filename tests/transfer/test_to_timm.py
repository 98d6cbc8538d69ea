"""Conversion of checkpoints of mmpretrain to timm, and their use there."""

import os

import pytest
import timm
import torch
from mmengine.config import ConfigDict
from mmpretrain.registry import MODELS as MMPRETRAIN
from safetensors import safe_open

from mixpro_mm.transfer.cli import main
from mixpro_mm.transfer.keys import Renamed, inverse, rename
from tests.transfer.test_convert import MODELS, SIDES, drawn, images

PUBLISHED = {
    'deit_small_patch16_224': dict(type='VisionTransformer', arch='deit-small', img_size=224, patch_size=16),
    'xcit_nano_12_p16_224': dict(
        type='XCiT', patch_size=16, embed_dims=128, depth=12, num_heads=4, mlp_ratio=4, tokens_norm=False
    ),
    'swin_tiny_patch4_window7_224': dict(type='SwinTransformer', arch='tiny', img_size=224),
}


def to_timm(source, target, capsys, *options):
    """Convert a file and return the model that the last printed line builds."""
    assert main([str(source), str(target), '--to', 'timm', *options]) == 0
    return eval(capsys.readouterr().out.splitlines()[-1], dict(timm=timm)).eval()


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
@pytest.mark.parametrize('family', ['deit', 'p14', 'xcit8', 'xcit', 'cait', 'swin'])
def test_a_model_returns_from_mmpretrain_to_timm_unchanged(family, suffix, tmp_path, capsys):
    original, heads = drawn(MODELS[family]()), []
    torch.save(original.state_dict(), tmp_path / 'timm.pth')
    if family == 'p14':
        heads = ['--heads', '2']
    assert main([str(tmp_path / 'timm.pth'), str(tmp_path / 'mm.pth'), '--to', 'mmpretrain', *heads]) == 0
    converted = to_timm(tmp_path / 'mm.pth', tmp_path / f'back{suffix}', capsys, *heads)
    state = original.state_dict()
    assert state.keys() == converted.state_dict().keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in converted.state_dict().items())
    with torch.no_grad():
        x = images(SIDES[family])
        assert torch.equal(converted(x), original(x))


@pytest.mark.parametrize('name', PUBLISHED)
def test_published_models_are_called_by_their_names(name, tmp_path, capsys):
    head = dict(type='LinearClsHead', num_classes=1000, in_channels=dict(deit=384, xcit=128, swin=768)[name[:4]])
    neck = dict(type='GlobalAveragePooling') if name.startswith('swin') else None
    config = dict(type='ImageClassifier', backbone=PUBLISHED[name], neck=neck, head=head)
    model = MMPRETRAIN.build(ConfigDict(config))
    model.eval()
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'mm.pth')
    assert main([str(tmp_path / 'mm.pth'), str(tmp_path / 'timm.safetensors'), '--to', 'timm']) == 0
    path = tmp_path / 'timm.safetensors'
    assert capsys.readouterr().out.splitlines()[-1] == f'timm.create_model({name!r}, checkpoint_path={str(path)!r})'
    x = images(224)
    with torch.no_grad():
        wanted, found = model(x), timm.create_model(name, checkpoint_path=str(path)).eval()(x)
    assert (wanted - found).abs().max() <= 1e-5 * wanted.abs().max()
    with safe_open(path, 'pt') as file:
        assert file.metadata()['target'] == 'timm' and len(file.metadata()['source_sha256']) == 64


def test_a_backbone_without_head_has_no_classes_in_timm(tmp_path, capsys):
    state = {name: tensor for name, tensor in drawn(MODELS['deit']()).state_dict().items() if 'head' not in name}
    torch.save(state, tmp_path / 'timm.pth')
    assert main([str(tmp_path / 'timm.pth'), str(tmp_path / 'mm.pth'), '--to', 'mmpretrain']) == 0
    assert to_timm(tmp_path / 'mm.pth', tmp_path / 'back.pth', capsys).num_classes == 0


def test_pvt_and_other_targets_than_timm_are_refused(tmp_path, capsys):
    torch.save(drawn(MODELS['pvt']()).state_dict(), tmp_path / 'pvt.pth')
    assert main([str(tmp_path / 'pvt.pth'), str(tmp_path / 'to.pth'), '--to', 'timm']) == 1
    assert 'timm has PVT v2 only' in capsys.readouterr().err
    torch.save(drawn(MODELS['deit']()).state_dict(), tmp_path / 'deit.pth')
    assert main([str(tmp_path / 'deit.pth'), str(tmp_path / 'to.safetensors'), '--to', 'mmseg']) == 1
    assert 'mmengine does not read safetensors' in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == ['deit.pth', 'pvt.pth']


def test_the_inverse_of_a_table_renames_back():
    table = [('a.*.', 'b.*+1.'), ('c.*.*.', 'd.*/2.*-1.'), ('x.', None, 'unused'), ('y', ('y1', 'y2'))]
    tensors = {'a.0.w': torch.zeros(1), 'c.4.3.w': torch.ones(1)}
    there = rename(Renamed(tensors, {name: (name,) for name in tensors}), table)
    back = rename(there, inverse(table))
    assert there.tensors.keys() == {'b.1.w', 'd.2.2.w'} and back.tensors == tensors
