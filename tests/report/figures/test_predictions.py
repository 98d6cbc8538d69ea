"""Pictures of stages that look finished: configs of the digits with random weights as their checkpoints."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS
from mmengine.structures import BaseDataElement, InstanceData
from PIL import Image

from mixpro_mm.report.figures import predictions
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
    """A finished stage with a config and a checkpoint that fits it."""

    def make(name, *args, pretraining='mixpro', backbone='DeiT', **kwargs):
        config, checkpoint = digits(name, *args, **kwargs)
        (tmp_path / name).mkdir()
        write_json(tmp_path / name / 'done.json', dict(checkpoint=checkpoint))
        return SimpleNamespace(
            name=name, config=config, task='classification', backbone=backbone, pretraining=pretraining
        )

    return make


@pytest.fixture
def draw(tmp_path, drawn):
    """The pictures of stages, and the rows of images and of numbers of the last."""

    def run(*stages):
        found = predictions.draw_pictures(SimpleNamespace(stages=stages, seed=0), tmp_path)
        axes = np.array(drawn[-1].axes if drawn else []).reshape(-1, 4)
        rows = {
            row[0].texts[0].get_text(): np.stack([np.asarray(a.images[0].get_array()) for a in row]) for row in axes
        }
        names = axes[-1][0].texts[1].get_text().split('\n') if drawn else []
        numbers = np.array([[float(x) for x in a.texts[-1].get_text().split('\n')] for a in axes[-1]]) if drawn else []
        return found, rows, dict(zip(names, np.transpose(numbers), strict=True))

    return run


LINEAR = HOOK.format("labeling=dict(type='ProgressiveAttentionLabeling', factor='linear')")


@pytest.mark.parametrize(('delta', 'factor'), [(TRANSMIX, 0.5), (LINEAR, 1)])
def test_labels_are_weighed_as_at_the_end_of_training(stage, draw, delta, factor):
    (picture,), rows, numbers = draw(stage('mix', delta))
    assert Path(picture['path']).is_file() and picture['title'] == 'Mixed images, DeiT, MixPro'
    assert 'the class attention of the last block' in picture['caption']
    mask, attention = rows['mask'], rows['attention']
    area, attn = mask.mean((1, 2)), (mask * attention).sum((1, 2)) / attention.sum((1, 2))
    np.testing.assert_allclose(numbers['factor'], factor)
    np.testing.assert_allclose(numbers['lam_attn'], attn, atol=0.0051)
    np.testing.assert_allclose(numbers['own label'], factor * attn + (1 - factor) * area, atol=0.011)


@pytest.mark.parametrize('delta', [SMMIX, BARE], ids=['smmix', 'no hook'])
def test_area_labels_have_areas_and_no_attention(stage, draw, delta):
    _, rows, numbers = draw(stage('area', delta))
    assert list(rows) == ['image', 'partner', 'mask', 'mixed']
    np.testing.assert_allclose(numbers['own label'], rows['mask'].mean((1, 2)), atol=0.0051)


def test_attention_is_read_where_the_hook_read_it_and_tokenmix_by_the_average(stage, draw):
    _, class_row, _ = draw(stage('row'))
    (picture,), queries, _ = draw(stage('que', HOOK.format("attention='query_mean'")))
    assert not np.allclose(class_row['attention'], queries['attention'])
    assert 'attention, mean over queries, of the last block' in picture['caption']
    (picture,), rows, numbers = draw(stage('token', base='evidence/deit-micro_tokenmix_digits-8.py'))
    assert 'note' not in picture and 'attention' not in rows
    assert not np.allclose(numbers['own label'], rows['mask'].mean((1, 2)), atol=0.0051)


@pytest.mark.parametrize('delta', [CUTMIX, NOTHING], ids=['CutMix', 'no mixing'])
def test_a_stage_without_a_method_of_ours_builds_nothing(stage, draw, monkeypatch, delta):
    baseline = stage('base', delta)
    monkeypatch.setattr(predictions, '_load', lambda *args, **kwargs: pytest.fail('a model was built'))
    assert draw(baseline)[0] == []


def test_an_error_costs_one_picture(stage, draw, tmp_path):
    stages = [stage(name) for name in ('broken', 'gone', 'other', 'whole')]
    (tmp_path / 'broken.pth').write_bytes(b'no checkpoint')
    Path(stages[1].config).unlink()
    weights = torch.load(tmp_path / 'other.pth')['state_dict']
    torch.save(dict(state_dict={'net.' + key: value for key, value in weights.items()}), tmp_path / 'other.pth')
    found = draw(*stages)[0]
    assert [next(iter(picture)) for picture in found] == ['note', 'note', 'note', 'path']
    for picture, name in zip(found, ('broken', 'gone', 'other'), strict=False):
        start = f'mixed-{name}.png could not be drawn: ValueError: '
        assert picture['note'].startswith(start) and '\n' not in picture['note']
    assert 'does not fit' in found[2]['note']


def test_a_large_study_shows_its_first_six_and_indexes_the_data_once(stage, draw, monkeypatch):
    built, build = [], DATASETS.build
    monkeypatch.setattr(DATASETS, 'build', lambda *args: built.append(args) or build(*args))
    found = draw(*[stage(f's{i}', backbone=f'net {i}') for i in range(7)])[0]
    assert [Path(picture['path']).name for picture in found[:-1]] == [f'mixed-s{i}.png' for i in range(6)]
    assert found[-1] == dict(note='Shown are the first 6 of 7 stages that mix images.') and len(built) == 1


@pytest.mark.parametrize('task', ['segmentation', 'detection'])
def test_predictions_have_the_colours_of_their_classes_and_a_legend(tmp_path, drawn, task):
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
    start = SimpleNamespace(backbone='DeiT', pretraining='mixpro')
    data = Scenes([dict(inputs=labels, data_samples=truth)])
    predictions._predictions(task, [start], tmp_path / 'a.png', lambda stage: (None, model, data))
    image, truth, predicted = (np.asarray(axes.images[0].get_array()) for axes in drawn[0].axes)
    names = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert [axes.get_title() for axes in drawn[0].axes] == ['image', 'truth', 'MixPro'] and not image.any()
    if task == 'segmentation':
        assert names == ['cat', 'dog', 'not labelled']
        assert truth[0, 0].tolist() == list(predictions.GREY) and truth[1, 1].tolist() == [1, 0, 0]
        assert (predicted == [0, 0, 1]).all()
    else:
        assert names == ['dog']
        frame = (truth == [0, 0, 1]).all(-1)
        assert frame.sum() == 8 and frame[0, :3].all() and not frame[1, 1] and (predicted == truth).all()
