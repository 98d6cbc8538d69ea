"""Files of transformers, whose logits were recorded by write_transformers.py, in mmpretrain and the targets."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from safetensors.torch import save_file

from mixpro_mm.transfer.convert import convert
from tests.transfer.write_transformers import draw, images

RECORDED = json.loads(Path(__file__).with_name('transformers.json').read_text(encoding='utf-8'))['models']
OWN = dict(vit='mmpretrain', swin='mmpretrain', pvt='mixpro')


def tensors_of(name):
    return {key: draw(key, shape) for key, shape in RECORDED[name]['shapes'].items()}


def written(tensors, path):
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path)
    return path


def logits_of(conversion, path, name):
    config = dict(conversion.config)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(config).eval()
    model.load_state_dict(torch.load(path, weights_only=True)['state_dict'])
    with torch.no_grad():
        return model(images(RECORDED[name]['image_size']))


@pytest.mark.parametrize('name', RECORDED)
def test_a_converted_file_has_the_logits_of_transformers(name, tmp_path):
    file = written(tensors_of(name), tmp_path / 'model.safetensors')
    conversion = convert(file, tmp_path / 'own.pth', OWN[name])
    wanted = torch.tensor(RECORDED[name]['logits'])
    assert (wanted[0] - wanted[1]).abs().max() > 0.05  # the images differ
    found = logits_of(conversion, tmp_path / 'own.pth', name)
    torch.testing.assert_close(found, wanted, atol=2e-4 if name == 'pvt' else 2e-5, rtol=0)  # PVT: eps of some norms
    assert conversion.layout == 'Hugging Face' and 'transformers' in conversion.proof.skipped


@pytest.mark.parametrize(
    ('name', 'target'), [('vit', 'mmseg'), ('vit', 'timm'), ('swin', 'mmdet'), ('swin', 'timm'), ('pvt', 'mmdet')]
)
def test_other_targets_compute_the_same_as_mmpretrain(name, target, tmp_path):
    file = written(tensors_of(name), tmp_path / 'model.safetensors')
    conversion = convert(file, tmp_path / 'out.pth', target)
    assert conversion.proof.deviation < 1e-5 and not conversion.proof.skipped


@pytest.mark.parametrize('name', RECORDED)
def test_a_backbone_alone_has_the_same_tensors(name, tmp_path):
    tensors = tensors_of(name)
    inside = {key.partition('.')[2]: tensor for key, tensor in tensors.items() if not key.startswith('classifier.')}
    for path, each in (('all', tensors), ('backbone', inside)):
        convert(written(each, tmp_path / f'{path}.safetensors'), tmp_path / f'{path}.pth', OWN[name])
    whole, part = (
        torch.load(tmp_path / f'{path}.pth', weights_only=True)['state_dict'] for path in ('all', 'backbone')
    )
    assert {key for key in whole if key not in part} == {key for key in whole if key.startswith('head.')}
    assert all(part[key].equal(whole[key]) for key in part)


def test_unused_tensors_are_dropped_and_distilled_models_refused(tmp_path):
    tensors = tensors_of('vit')
    more = {'vit.embeddings.mask_token': torch.ones(1, 1, 64), 'vit.pooler.dense.bias': torch.ones(64)}
    file = written(tensors | more, tmp_path / 'model.safetensors')
    assert set(convert(file, tmp_path / 'out.pth', 'mmpretrain').renamed.dropped) == set(more)
    distilled = {f'deit.{key.partition(".")[2]}': tensor for key, tensor in tensors.items() if key.startswith('vit.')}
    distilled['deit.embeddings.distillation_token'] = torch.ones(1, 1, 64)
    with pytest.raises(ValueError, match='is a distilled DeiT'):
        convert(written(distilled, tmp_path / 'deit.safetensors'), tmp_path / 'out.pth', 'mmpretrain')
    del tensors['vit.encoder.layer.1.attention.attention.key.bias']
    with pytest.raises(ValueError, match=r'does not fit: backbone\.layers\.1\.attn\.qkv\.bias'):
        convert(written(tensors, tmp_path / 'broken.safetensors'), tmp_path / 'out.pth', 'mmpretrain')
