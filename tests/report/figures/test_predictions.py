"""Tests of the pictures of a study, with stages whose checkpoints have random weights."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement, InstanceData
from PIL import Image

from mixpro_mm.report.figures import predictions
from mixpro_mm.study.entries import Stage
from mixpro_mm.utils.files import write_json

HOOK = "custom_hooks = [dict(type='mixpro_mm.LabelingHook', {})]"
MIX = "model = dict(train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict({})]))"
TRANSMIX = MIX.format("type='mixpro_mm.RegionMix'") + '\n' + HOOK.format("labeling='AttentionLabeling'")
SMMIX = MIX.format("type='mixpro_mm.SMMix', patch_size=4") + '\n' + HOOK.format("labeling='AreaLabeling'")
BARE = MIX.format("type='mixpro_mm.MaskMix', patch_size=4") + '\ncustom_hooks = []'
NOTHING = 'model = dict(train_cfg=None)\ncustom_hooks = []'
CUTMIX = MIX.format("type='CutMix', alpha=1.0") + '\ncustom_hooks = []'


@pytest.fixture
def stage(digits, tmp_path):
    """Make a finished stage with a config and a checkpoint."""

    def make(name, *args):
        config, checkpoint = digits(name, *args)
        (tmp_path / name).mkdir()
        write_json(tmp_path / name / 'done.json', dict(checkpoint=checkpoint))
        return Stage(name=name, config=config, task='classification', backbone='DeiT', pretraining='mixpro')

    return make


@pytest.fixture
def draw(tmp_path, drawn):
    """Draw stages; return the pictures, and name -> images and name -> texts of the columns of the last."""

    def run(*stages):
        found, images, texts = predictions.draw_pictures(SimpleNamespace(stages=stages, seed=0), tmp_path), {}, {}
        for axes in drawn[-1].axes if drawn else ():
            name, *text = axes.get_title().split('\n')
            images.setdefault(name.split()[0], []).append(np.asarray(axes.images[0].get_array()))
            texts.setdefault(name.split()[0], []).append([*name.split()[1:], *text])
        return found, {name: np.stack(same) for name, same in images.items()}, texts

    return run


LINEAR = HOOK.format("labeling=dict(type='ProgressiveAttentionLabeling', factor='linear')")


@pytest.mark.parametrize(('delta', 'factor'), [(TRANSMIX, 0.5), (LINEAR, 1)])
def test_label_weights_are_those_at_the_end_of_training(stage, draw, delta, factor):
    (picture,), images, texts = draw(stage('mix', delta))
    assert Path(picture['path']).is_file() and picture['title'] == 'Mixed images, DeiT, MixPro'
    mask, attention = images['mask'], images['attention']
    area, attn = mask.mean((1, 2)), (mask * attention).sum((1, 2)) / attention.sum((1, 2))
    drawn, factors = zip(*texts['attention'], strict=True)
    assert set(factors) == {f'factor {factor:.2f}'}
    np.testing.assert_allclose([*map(float, drawn)], attn, atol=0.0051)
    own = [float(text.split(' / ')[0]) for (text,) in texts['mixed']]
    np.testing.assert_allclose(own, factor * attn + (1 - factor) * area, atol=0.011)


@pytest.mark.parametrize('delta', [SMMIX, BARE], ids=['smmix', 'no hook'])
def test_area_labels_have_no_attention(stage, draw, delta):
    _, images, texts = draw(stage('area', delta))
    assert list(images) == ['image', 'partner', 'mask', 'mixed']
    own = [float(text.split(' / ')[0]) for (text,) in texts['mixed']]
    np.testing.assert_allclose(own, images['mask'].mean((1, 2)), atol=0.0051)


def test_attention_is_that_of_the_hook(stage, draw):
    _, class_row, _ = draw(stage('row'))
    _, queries, _ = draw(stage('que', HOOK.format("attention='query_mean'")))
    assert not np.allclose(class_row['attention'], queries['attention'])


@pytest.mark.parametrize('delta', [CUTMIX, NOTHING], ids=['CutMix', 'no mixing'])
def test_a_stage_without_augments_of_this_package_is_not_drawn(stage, draw, delta):
    assert draw(stage('base', delta))[0] == []


def test_an_error_becomes_a_note(stage, draw, tmp_path):
    stages = [stage(name) for name in ('gone', 'other')]
    Path(stages[0].config).unlink()
    (tmp_path / 'other.pth').write_bytes(b'no checkpoint')
    notes = [picture['note'] for picture in draw(*stages)[0]]
    for note, name in zip(notes, ('gone', 'other'), strict=True):
        assert note.startswith(f'mixed-{name}.png could not be drawn: ValueError: ') and '\n' not in note


@pytest.mark.parametrize('task', ['segmentation', 'detection'])
def test_predictions_have_the_colors_of_their_classes_and_a_legend(tmp_path, drawn, task):
    Image.new('RGB', (4, 4)).save(tmp_path / 'scene.png')
    labels, boxes = torch.zeros(1, 4, 4, dtype=torch.long), torch.tensor([[0.0, 0, 3, 3], [0, 0, 4, 4]])
    labels[0, 0, 0] = 255
    found = InstanceData(bboxes=boxes, labels=torch.tensor([1, 0]), masks=torch.zeros(2, 4, 4, dtype=torch.bool))
    truth = BaseDataElement(gt_sem_seg=BaseDataElement(data=labels), gt_instances=found[:1])
    truth.set_metainfo(dict(img_path=tmp_path / 'scene.png'))
    found.scores = torch.tensor([0.9, 0.2])  # of the second too low
    seen = BaseDataElement(pred_sem_seg=BaseDataElement(data=labels * 0 + 1), pred_instances=found)

    class Scenes(list):
        metainfo = dict(palette=[[255, 0, 0], [0, 0, 255]], classes=('cat', 'dog'))

    model = SimpleNamespace(test_step=lambda batch: [seen])
    start = SimpleNamespace(task=task, backbone='DeiT', pretraining='mixpro')
    data = Scenes([dict(inputs=labels, data_samples=truth)])
    predictions._predictions([start], tmp_path / 'a.png', lambda stage: (None, model, data))
    image, truth, predicted = (np.asarray(axes.images[0].get_array()) for axes in drawn[0].axes)
    names = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert [axes.get_title() for axes in drawn[0].axes] == ['image', 'truth', 'MixPro'] and not image.any()
    if task == 'segmentation':
        assert names == ['cat', 'dog', 'not labeled']
        assert (truth[0, 0] * 255).tolist() == list(predictions.GREY) and truth[1, 1].tolist() == [1, 0, 0]
        assert (predicted == [0, 0, 1]).all()
    else:
        assert names == ['dog']
        frame = (truth == [0, 0, 1]).all(-1)
        assert frame.sum() == 12 and frame[0].all() and not frame[1, 1] and (predicted == truth).all()


def test_overlapping_masks_show_the_first_instance():
    masks = torch.ones(2, 4, 4, dtype=torch.bool)
    found = InstanceData(bboxes=torch.zeros(2, 4), labels=torch.tensor([1, 0]), masks=masks)
    image = torch.full((3, 4, 4), 100, dtype=torch.uint8)
    colors = [(255, 0, 0), (0, 0, 255)]
    drawn = predictions._instances(image, BaseDataElement(gt_instances=found), 'gt_', colors, set())
    assert drawn[:, 3, 3].tolist() == [45, 45, 185]  # 0.45 * 100 + 0.55 * (0, 0, 255)
