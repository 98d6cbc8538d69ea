"""The occlusion loop in a Runner against explicit references; run as a script, this file is one of two processes."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.model import MMDistributedDataParallel
from mmpretrain.registry import MODELS
from torch import distributed

from mixpro_mm.datasets import Digits
from mixpro_mm.evaluation.saliency_model import build_saliency_model
from mixpro_mm.functional.patch_drop import PROTOCOLS
from tests.evaluation.conftest import loader, runner_for

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
ARCH = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
BACKBONE = dict(type='VisionTransformer', arch=ARCH, img_size=32, patch_size=4)
NORMALIZE = dict(type='Normalize', mean=MEAN, std=STD)
IMAGES = 20


def digits():
    dataset = Digits(split='test', indices=IMAGES)
    return [dataset.get_data_info(number) for number in range(IMAGES)]


def classifier(seed=0, fit=True, **backbone):
    """Return a micro ViT of random weights with a head fitted to the test images."""
    torch.manual_seed(seed)
    config = dict(
        type='ImageClassifier',
        backbone=dict(BACKBONE, **backbone),
        head=dict(type='VisionTransformerClsHead', num_classes=10, in_channels=32),
        data_preprocessor=dict(type='ClsDataPreprocessor', mean=MEAN, std=STD, to_rgb=True, num_classes=10),
    )
    model = MODELS.build(config)
    model.eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3 if parameter.ndim > 1 else parameter)
        if fit:
            items = digits()
            images = torch.stack([torch.from_numpy(item['img']).permute(2, 0, 1) for item in items])
            features = model.backbone(model.data_preprocessor(dict(inputs=images))['inputs'])[0]
            wanted = torch.eye(10)[[item['gt_label'] for item in items]]
            model.head.layers.head.weight.copy_(torch.linalg.lstsq(features, wanted).solution.T)
            model.head.layers.head.bias.zero_()
    return model


def runner_of(work_dir, model=None, data=None, loop=None, load_from=None, **arguments):
    loop = loop or dict(dict(type='mixpro_mm.OcclusionTestLoop', grid=8, saliency='self'), **arguments)
    data = data or loader(indices=IMAGES)
    return runner_for(model or classifier(), work_dir, data, dict(type='Accuracy'), loop, load_from)


def loop_of(*args, **kwargs):
    runner = runner_of(*args, **kwargs)
    return runner.build_test_loop(runner._test_loop)


def test(work_dir, *args, **kwargs):
    """Return metrics and record of a test."""
    metrics = runner_of(work_dir, *args, **kwargs).test()
    return metrics, json.loads((Path(work_dir) / kwargs.get('out', 'occlusion.json')).read_text())


test.__test__ = False


def inputs_of(model):
    """Return a list that collects the inputs of the backbone."""
    batches = []
    model.backbone.register_forward_pre_hook(lambda _, args: batches.append(args[0].clone()))
    return batches


def attention_by_hand(model, images, head):
    """Return the class attention (B, 8, 8) of the last block."""
    kept = []
    handle = model.backbone.layers[-1].attn.qkv.register_forward_hook(lambda _, __, out: kept.append(out))
    with torch.no_grad():
        model.backbone(images)
    handle.remove()
    batch, tokens, _ = kept[0].shape
    q, k, _ = kept[0].view(batch, tokens, 3, 2, 16).permute(2, 0, 3, 1, 4)
    maps = ((q @ k.transpose(-2, -1)) / 4).softmax(dim=-1)[:, :, 0, 1:]
    return (maps.mean(dim=1) if head == 'mean' else maps[:, head]).view(batch, 8, 8)


def top1_by_hand(model, mode, ratio, protocol, head, saliency_model=None):
    """Return top-1 over the test images and the fraction of dropped patches."""
    items = digits()
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    images = torch.stack([torch.from_numpy(item['img'][..., ::-1].copy()).permute(2, 0, 1) for item in items]) / 255
    attention = attention_by_hand(saliency_model or model, (images * 255 - mean) / std, head)
    attention = attention.double().flatten(1).tolist()
    dropped = 0
    for image, mass in zip(images, attention, strict=True):
        order = sorted(range(64), key=mass.__getitem__)
        if protocol == 'count':
            gone = order[64 - round(64 * ratio) :] if mode == 'salient' else order[: round(64 * ratio)]
        else:
            limit, total, salient = 1 - (ratio if mode == 'salient' else 1 - ratio), 0, []
            for patch in order:
                total += mass[patch] / sum(mass)
                salient += [patch] if total > limit else []
            gone = salient if mode == 'salient' else set(order) - set(salient)
        for patch in gone:
            row, column = divmod(patch, 8)
            image[:, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = 0
        dropped += len(gone)
    with torch.no_grad():
        predicted = model.head(model.backbone((images * 255 - mean) / std)).argmax(dim=1).tolist()
    right = sum(answer == item['gt_label'] for answer, item in zip(predicted, items, strict=True))
    return 100 * right / IMAGES, dropped / 64 / IMAGES


@pytest.mark.parametrize(('protocol', 'head'), [('naseer', 1), ('count', 'mean')])
def test_salient_points_match_the_reference(protocol, head, tmp_path):
    model, points = classifier(), dict(ratios=[0.25, 0.6], modes=['salient', 'non-salient'])
    metrics, record = test(tmp_path, model, protocol=protocol, saliency_head=head, **points)
    accuracies = []
    for mode, curve in record['curves'].items():
        for point in curve:
            top1, dropped = top1_by_hand(model, mode, point['ratio'], protocol, head)
            assert point['top1'] == metrics[f'occlusion/{mode}_{point["ratio"]:g}'] == pytest.approx(top1)
            assert point['patches_dropped'] == pytest.approx(dropped)
            accuracies.append(top1)
    assert list(record['curves']) == ['salient', 'non-salient']
    assert len(set(accuracies)) > 1


def test_another_model_determines_the_salient_patches(tmp_path):
    model, saliency_model = classifier(), classifier(seed=1, fit=False)
    torch.save(dict(state_dict=saliency_model.state_dict()), tmp_path / 'other.pth')
    saliency = dict(BACKBONE, checkpoint=str(tmp_path / 'other.pth'))
    _, record = test(tmp_path, model, ratios=[0.4], modes=['salient'], saliency=saliency, saliency_head=0)
    (point,) = record['curves']['salient']
    assert (point['top1'], point['patches_dropped']) == pytest.approx(
        top1_by_hand(model, 'salient', 0.4, 'naseer', 0, saliency_model)
    )
    assert point['patches_dropped'] != pytest.approx(top1_by_hand(model, 'salient', 0.4, 'naseer', 0)[1])
    assert record['settings']['saliency'] == saliency and len(record['settings']['saliency_sha256']) == 64


def cells(mask):
    """Return which 4 x 4 patches (B, 8, 8) are True everywhere in a mask (B, 32, 32)."""
    return mask.unflatten(1, (8, 4)).unflatten(3, (8, 4)).all(dim=4).all(dim=2)


@pytest.mark.parametrize('collate', ['default_collate', 'pseudo_collate'])
def test_pixels_are_black_after_normalisation_and_the_same_in_a_batch(collate, tmp_path):
    model = classifier()
    seen = inputs_of(model)
    test(tmp_path, model, loader(collate=collate, indices=16), ratios=[0.3], modes=['random'])
    black = (-torch.tensor(MEAN) / torch.tensor(STD)).view(3, 1, 1)
    sets = []
    for whole, masked in zip(seen[::2], seen[1::2], strict=True):
        dropped = cells((masked == black).all(dim=1)) & ~cells((whole == black).all(dim=1))
        sets.append(dropped.any(dim=0))
        pixels = sets[-1].repeat_interleave(4, 0).repeat_interleave(4, 1)
        assert torch.equal(masked, torch.where(pixels, black, whole))
        assert 0 < sets[-1].sum() <= 19  # floor(0.3 * 64), less those that are black in all images
    assert not torch.equal(*sets)


def test_every_image_is_decoded_once(tmp_path, monkeypatch):
    calls, prepare = [], Digits.prepare_data
    monkeypatch.setattr(Digits, 'prepare_data', lambda self, index: calls.append(index) or prepare(self, index))
    model = classifier()
    seen = inputs_of(model)
    metrics, record = test(tmp_path, model, loader(indices=10), repeats=3)
    assert sorted(calls) == list(range(10))
    # unchanged, attention, 9 random points in 3 runs, 10 salient, 9 non-salient; a ratio of 0 needs no forward
    assert len(seen) == 2 * (1 + 1 + 3 * 9 + 10 + 9)
    assert record['images'] == 10 and len(metrics) == 1 + 30


def test_a_ratio_of_zero_gives_the_accuracy_of_mmpretrain(tmp_path):
    metrics, record = test(tmp_path, ratios=[0, 0.5])
    plain = runner_of(tmp_path / 'plain', loop=dict(type='TestLoop')).test()
    whole = pytest.approx(plain['accuracy/top1'])
    assert [metrics['accuracy/top1'], *(metrics[f'occlusion/{mode}_0'] for mode in record['curves'])] == [whole] * 4
    assert plain['accuracy/top1'] > metrics['occlusion/random_0.5']
    assert record['whole']['accuracy/top1'] == whole and 'occlusion/random_0' not in record['whole']


def test_runs_differ_and_the_seed_reproduces_them(tmp_path):
    settings = dict(ratios=[0.3, 0.5], modes=['random'], repeats=3, saliency=None)
    one, first = test(tmp_path / 'a', **settings)
    two, _ = test(tmp_path / 'b', **settings)
    _, third = test(tmp_path / 'c', seed=1, **settings)
    assert one == two and first['curves'] != third['curves']
    for point in first['curves']['random']:
        assert len(point['runs']) == 3 and len(set(point['runs'])) > 1
        assert point['top1'] == pytest.approx(np.mean(point['runs']))
        assert point['std'] == pytest.approx(np.std(point['runs'], ddof=1))


def test_the_count_protocol_draws_patches_for_each_image(tmp_path):
    loop = loop_of(tmp_path, modes=['random'], ratios=[0.2, 0.5], protocol='count')
    small, large = loop._drops(torch.zeros(3, 3, 32, 32), [5, 9, 2], [4, 7, 4])
    assert small.sum(dim=1).tolist() == [13] * 3 and large.sum(dim=1).tolist() == [32] * 3
    assert (small <= large).all() and len(large.unique(dim=0)) == 3
    _, alone = loop._drops(torch.zeros(1, 3, 32, 32), [9], [1])
    assert torch.equal(alone[0], large[1])


def test_the_record_has_the_settings(tmp_path):
    _, record = test(tmp_path, modes='random', label='mine', out='a/b.json', seed=5)
    assert (record['label'], record['kind']) == ('mine', 'occlusion')
    settings = dict(protocol='naseer', grid=8, size=[32, 32], repeats=1, seed=5, processes=1, batch_size=8)
    assert settings.items() <= record['settings'].items()
    assert record['settings']['points'] == [[mode, p['ratio']] for mode, ps in record['curves'].items() for p in ps]


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(modes=['random', 'upper']), 'modes must be some of random, salient, non-salient'),
        (dict(ratios=[0.5, 1.2]), r'from 0 to 1, got \[0.5, 1.2\] for random patches'),
        (dict(out='occlusion.png'), "name of a .json file, got 'occlusion.png'"),
        (dict(saliency=None), 'salient and non-salient patches need saliency='),
        (dict(saliency_head=2), "'mean' or one of 0 to 1 for VisionTransformer, got 2"),
        (dict(saliency=dict(BACKBONE, checkpoint='/nowhere/dino.pth')), 'there is no .*dino.pth'),
        (dict(data=loader(metainfo=dict(indices=[*range(5, 15)]))), r'positions in its `indices` \[5, 6, 7\]'),
    ],
)
def test_invalid_arguments_raise_at_construction(arguments, message, tmp_path):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        loop_of(tmp_path, **arguments)


class Unlabelled(Digits):
    def get_data_info(self, idx):
        return {key: value for key, value in super().get_data_info(idx).items() if key != 'gt_label'}


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(grid=14), 'images of 32x32 pixels are not divisible into 14x14 patches'),
        (dict(data=loader(pipeline=[NORMALIZE])), 'normalise in the data preprocessor, not in the pipeline'),
        (dict(data=loader(type=Unlabelled)), 'one label per image, but 8 of 8 images .* first of them has 0'),
    ],
)
def test_unsuitable_images_raise(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        test(tmp_path, **arguments)
    assert not (tmp_path / 'occlusion.json').exists()


def test_saliency_models_must_match(tmp_path):
    whole, name = classifier(seed=1, fit=False).state_dict(), 'layers.1.attn.qkv.weight'
    bare = {key.removeprefix('backbone.'): value for key, value in whole.items() if key.startswith('backbone.')}
    config = dict(BACKBONE, checkpoint=tmp_path / 'file.pth')
    for tensors in (whole, bare):
        torch.save(tensors, tmp_path / 'file.pth')
        backbone, _ = build_saliency_model(config)
        assert torch.equal(backbone.state_dict()[name], bare[name])
        assert not backbone.training and not any(parameter.requires_grad for parameter in backbone.parameters())
    torch.save({key: value for key, value in bare.items() if key != name}, tmp_path / 'file.pth')
    with pytest.raises(ValueError, match=rf'does not fit VisionTransformer: 1 missing \({name}\)'):
        build_saliency_model(config)
    with pytest.raises(ValueError, match='VisionTransformer has no class attention'):
        loop_of(tmp_path, classifier(fit=False, out_type='avg_featmap'))


TWO = dict(ratios=[0, 0.3, 0.6], repeats=2)


def one_rank(rank, folder):
    """Test 15 images in batches of 4 on two ranks; one image is padded."""
    distributed.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    metrics = {}
    for protocol in PROTOCOLS:
        model, data = MMDistributedDataParallel(classifier()), loader(4, indices=15)
        metrics[protocol] = runner_of(f'{folder}/{protocol}', model, data, protocol=protocol, **TWO).test()
    torch.save(metrics, f'{folder}/rank{rank}.pth')
    distributed.destroy_process_group()


@pytest.mark.long
def test_two_ranks_count_every_image_once(two_ranks, tmp_path):
    """The curves equal those of a single process."""
    first, second = two_ranks(__file__)
    for protocol in PROTOCOLS:
        alone, record = test(tmp_path / f'{protocol}-alone', None, loader(4, indices=15), protocol=protocol, **TWO)
        assert second[protocol] == pytest.approx(first[protocol])
        assert first[protocol] == pytest.approx(alone)
        together = json.loads((tmp_path / protocol / 'occlusion.json').read_text())
        assert together['curves'] == record['curves']
        assert (together['images'], together['settings']['processes']) == (15, 2)


if __name__ == '__main__':
    one_rank(int(sys.argv[1]), sys.argv[2])
