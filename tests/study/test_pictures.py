"""Pictures of stages that look finished: configs of the digits with random weights, saved as their checkpoints."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, init_default_scope
from PIL import Image

from mixpro_mm.files import write_json
from mixpro_mm.study import pictures
from mixpro_mm.study.plan import Plan, Stage

DIGITS = Path(__file__).parents[2] / 'configs' / 'digits'
HOOK = "custom_hooks = [dict(type='mixpro_mm.LabelingHook', {})]"
MIX = "model = dict(train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict({})]))"
TRANSMIX = MIX.format("type='mixpro_mm.RegionMix'") + '\n' + HOOK.format("labeling='AttentionLabeling'")
SMMIX = MIX.format("type='mixpro_mm.SMMix', patch_size=4") + '\n' + HOOK.format("labeling='AreaLabeling'")
BARE = MIX.format("type='mixpro_mm.MaskMix', patch_size=4") + '\ncustom_hooks = []'
NOTHING = 'model = dict(train_cfg=None)\ncustom_hooks = []'
CUTMIX = MIX.format("type='CutMix', alpha=1.0") + '\ncustom_hooks = []'


@pytest.fixture
def stage(tmp_path):
    """Writes a config and a checkpoint that fits it."""

    def write(name, delta='', pretraining='mixpro', base='deit-micro_mixpro_digits.py', backbone='DeiT'):
        path = tmp_path / f'{name}.py'
        path.write_text(f"_base_ = '{DIGITS / base}'\n{delta}\n")
        config = Config.fromfile(path)
        init_default_scope(config.default_scope)
        torch.manual_seed(0)
        model = MODELS.build(config.model | dict(data_preprocessor=config.data_preprocessor))
        (tmp_path / name).mkdir()
        torch.save(dict(state_dict=model.state_dict()), tmp_path / name / 'last.pth')
        write_json(tmp_path / name / 'done.json', dict(checkpoint=str(tmp_path / name / 'last.pth')))
        return Stage(name, str(path), 'classification', backbone, pretraining)

    return write


@pytest.fixture
def draw(tmp_path, monkeypatch):
    """The pictures of stages, with rows, titles and path of each panel; these are written only where asked for."""

    def run(*stages, write=False):
        panels = []
        mix_panel = pictures.mix_panel if write else lambda *args: None
        with monkeypatch.context() as patch:
            patch.setattr(pictures, 'mix_panel', lambda *args: panels.append(args) or mix_panel(*args))
            found = pictures.draw_pictures(Plan('study', stages, 0, 1, 'study.py'), tmp_path)
        return found, panels

    return run


def shown_weights(titles):
    return np.array([float(title.split('\n')[1]) for title in titles])


def by_hand(rows):
    """Shares of area and attention that fall on the image itself, pixel by pixel."""
    mask, attention = np.stack(rows['mask']), np.stack(rows['attention'])
    return mask.mean((1, 2)), (mask * attention).sum((1, 2)) / attention.sum((1, 2))


def test_each_stage_is_weighed_as_it_was_trained(stage, draw):
    found, panels = draw(stage('mix', pretraining='mixpro'), stage('trans', TRANSMIX, 'transmix'), write=True)
    assert [picture['title'] for picture in found] == [
        'DeiT, MixPro: mixed images and class attention', 'DeiT, TransMix: mixed images and class attention',
    ]  # fmt: skip
    assert all(Path(picture['path']).stat().st_size > 5000 for picture in found)
    area, attention = by_hand(panels[1][0])
    np.testing.assert_allclose(shown_weights(panels[1][1]), (area + attention) / 2, atol=0.0051)
    assert found[1]['caption'].endswith(
        f'Means of this batch: area {area.mean():.2f}, attention {attention.mean():.2f}.'
    )
    area, attention = by_hand(panels[0][0])
    factor = float(found[0]['caption'].removesuffix('.').split('progressive factor ')[1])
    assert not np.allclose(shown_weights(panels[0][1]), (area + attention) / 2, atol=0.0051)
    assert abs(factor - 0.5) > 0.1
    assert 'the class attention of the last block. Above' in found[0]['caption']


def test_the_only_pretraining_of_a_backbone_is_not_in_the_title(stage, draw):
    found, _ = draw(stage('mix'), stage('other', TRANSMIX, 'transmix', backbone='other'))
    assert [picture['title'].split(':')[0] for picture in found] == ['DeiT', 'other']


@pytest.mark.parametrize('delta', [SMMIX, BARE], ids=['smmix', 'no hook'])
def test_area_labels_show_areas_and_no_attention(stage, draw, delta):
    (picture,), ((rows, titles, _),) = draw(stage('area', delta, 'smmix'))
    assert list(rows) == ['original', 'mask', 'mixed']
    area = np.stack(rows['mask']).mean((1, 2))
    np.testing.assert_allclose(shown_weights(titles), area, atol=0.0051)
    assert picture['title'] == 'DeiT: mixed images'
    assert picture['caption'].endswith(f'Mean of this batch: area {area.mean():.2f}.')
    assert 'attention' not in picture['caption']


@pytest.mark.parametrize(
    ('way', 'factor'),
    [('learnable', ', learned factor 0.50.'), ('linear', ', progressive factor 1.00.'), ('equal', '')],
)
def test_the_factor_is_that_of_the_end_of_training(stage, draw, way, factor):
    loss = "_delete_=True, type='mixpro_mm.LearnableFactor', loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1)"
    delta = HOOK.format(f"labeling=dict(type='ProgressiveAttentionLabeling', factor='{way}')")
    delta += f'\nmodel = dict(head=dict(loss=dict({loss})))' if way == 'learnable' else ''
    (picture,), ((rows, titles, _),) = draw(stage('ways', delta))
    assert picture['caption'].endswith(factor)
    assert ('factor' in picture['caption']) == bool(factor)
    area, attention = by_hand(rows)
    expected = attention if way == 'linear' else (area + attention) / 2
    np.testing.assert_allclose(shown_weights(titles), expected, atol=0.0051)


def test_attention_is_read_where_the_hook_read_it(stage, draw):
    class_row, queries = draw(stage('row'), stage('queries', HOOK.format("attention='query_mean'")))[1]
    assert not np.allclose(class_row[0]['attention'], queries[0]['attention'])
    (picture,), _ = draw(
        Stage('queries', *(str(Path(class_row[2]).parents[1] / 'queries.py'), 'classification', 'D', ''))
    )
    assert 'the attention, mean over queries, of the last block' in picture['caption']


@pytest.mark.parametrize('delta', [CUTMIX, NOTHING], ids=['CutMix', 'no mixing'])
def test_a_stage_without_a_method_of_ours_builds_nothing(stage, draw, monkeypatch, delta):
    baseline = stage('base', delta, 'baseline')
    monkeypatch.setattr(pictures, '_load', lambda *args, **kwargs: pytest.fail('a model was built'))
    assert draw(baseline)[0] == []


def test_an_error_costs_one_picture_and_is_told(stage, draw, tmp_path):
    broken, gone, whole = stage('broken'), stage('gone'), stage('whole')
    (tmp_path / 'broken' / 'last.pth').write_bytes(b'no checkpoint')
    Path(gone.config).unlink()
    found, _ = draw(broken, gone, whole)
    assert [next(iter(picture)) for picture in found] == ['note', 'note', 'path']
    assert found[0]['note'].startswith('mixed-broken.png could not be drawn: ValueError: Checkpoint ')
    assert found[1]['note'].startswith('mixed-gone.png could not be drawn: ValueError: config ')
    assert '\n' not in found[0]['note']


def test_weights_that_do_not_fit_are_not_drawn(stage, draw, tmp_path):
    mixed = stage('mix')
    weights = torch.load(tmp_path / 'mix' / 'last.pth')['state_dict']
    torch.save(dict(state_dict={'net.' + key: value for key, value in weights.items()}), tmp_path / 'mix' / 'last.pth')
    (picture,), panels = draw(mixed)
    assert 'does not fit the model' in picture['note'] and not panels


def test_tokenmix_is_taught_by_the_average_that_its_checkpoint_holds(stage, draw):
    (picture,), ((rows, titles, _),) = draw(stage('token', base='evidence/deit-micro_tokenmix_digits-8.py'))
    assert 'note' not in picture and list(rows) == ['original', 'mask', 'mixed']
    assert not np.allclose(shown_weights(titles), np.stack(rows['mask']).mean((1, 2)), atol=0.0051)


def test_a_large_study_shows_its_first_six_and_indexes_the_data_once(stage, draw, monkeypatch):
    stages = [stage(f's{i}', TRANSMIX * (i % 2), backbone=f'net {i}') for i in range(8)]
    built = []
    build = DATASETS.build
    monkeypatch.setattr(DATASETS, 'build', lambda *args: built.append(args) or build(*args))
    found, _ = draw(*stages)
    assert [Path(picture['path']).name for picture in found[:-1]] == [f'mixed-s{i}.png' for i in range(6)]
    assert found[-1] == dict(note='Shown are the first 6 of 8 stages that mix images.')
    assert len(built) == 1


@pytest.mark.parametrize('ignored', [True, False])
def test_pixels_without_a_label_are_named_in_the_caption(tmp_path, monkeypatch, ignored):
    Image.new('RGB', (2, 2)).save(tmp_path / 'scene.png')
    labels = torch.tensor([[[0, 1], [1, 255 if ignored else 0]]])
    sample = SimpleNamespace(img_path=tmp_path / 'scene.png', gt_sem_seg=SimpleNamespace(data=labels))

    class Scenes(list):
        metainfo = dict(palette=[[255, 0, 0], [0, 0, 255]])

    predicted = SimpleNamespace(pred_sem_seg=SimpleNamespace(data=torch.zeros_like(labels)))
    monkeypatch.setattr(pictures, '_predict', lambda model, item: predicted)
    data = Scenes([dict(data_samples=sample)])
    start = Stage('s', 'c', 'segmentation', 'DeiT', 'mixpro')
    picture = pictures._segmentation([start], None, tmp_path / 'a.png', lambda stage: (None, None, data))
    assert picture['caption'].endswith('Grey: without a label, not counted.') == ignored
    assert (tmp_path / 'a.png').is_file()
