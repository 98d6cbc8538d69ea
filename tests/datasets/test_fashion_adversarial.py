import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.registry import DATASETS
from mmpretrain.structures import DataSample
from sklearn.datasets import load_digits

from mixpro_mm.datasets import (
    FashionA,
    FashionO,
    fashion_adversarial,
    filtered_fashion,
    load_fashion_images,
    split_indices,
)
from mixpro_mm.datasets.fashion_adversarial import read_filtered_fashion
from mixpro_mm.datasets.fashion_mnist import CLASSES
from mixpro_mm.datasets.filtered_fashion import filter_fashion, main
from mixpro_mm.utils.files import sha256_of

CONFIG = Path(__file__).parents[2] / 'configs' / 'fashion' / 'evidence' / 'filter_resnet-micro_fashion.py'


def test_a_has_the_selected_test_images(tiny_fashion, monkeypatch):
    monkeypatch.setattr(fashion_adversarial, 'read_filtered_fashion', lambda: dict(adversarial=dict(a=[3, 13], b=[17])))
    dataset = DATASETS.build(dict(type='mixpro_mm.FashionA', data_root=str(tiny_fashion), split='test', img_size=28))
    assert [(item['position'], item['gt_label']) for item in dataset] == [(3, 3), (13, 3), (17, 7)]
    assert (dataset[1]['img'][..., 2] == load_fashion_images('test', tiny_fashion)[0][13]).all()
    assert [item['gt_label'] for item in FashionA(str(tiny_fashion), classes=[7, 8])] == [0]


def test_o_has_all_test_images_and_all_digits_on_the_same_black_ground(tiny_fashion):
    dataset = DATASETS.build(dict(type='mixpro_mm.FashionO', data_root=str(tiny_fashion), img_size=32))
    items = list(dataset)
    assert [item['ood'] for item in items] == [0] * 20 + [1] * 1797
    assert not any('gt_label' in item for item in items)
    grey = np.stack([item['img'] for item in items])
    assert grey.shape == (1817, 32, 32, 3) and (grey == grey[..., :1]).all()
    assert not grey[:, :2].any() and not grey[:, :, -2:].any()  # padded like the photographs
    assert (grey[:20, 2:30, 2:30, 0] == load_fashion_images('test', tiny_fashion)[0]).all()
    small = grey[20:, 2:30, 2:30, 0].reshape(-1, 4, 7, 4, 7).mean((2, 4))  # both sizes in blocks of 4 x 4
    index = np.concatenate([split_indices('train'), split_indices('test')])
    scans = load_digits().images[index].reshape(-1, 4, 2, 4, 2).mean((2, 4))
    assert np.corrcoef(small.ravel(), scans.ravel())[0, 1] > 0.99 and grey[20:].max() == 255


def test_near_o_has_the_classes_that_are_not_known(tiny_fashion):
    items = list(FashionO(str(tiny_fashion), unknown='classes', classes=[0, 1, 2, 4, 5, 6, 8, 9]))
    assert [item['position'] for item in items if item['ood']] == [3, 7, 13, 17]
    assert [item['position'] % 10 for item in items if not item['ood']] == [0, 1, 2, 4, 5, 6, 8, 9] * 2


@pytest.mark.parametrize(
    ('dataset', 'kwargs', 'words'),
    [
        (FashionA, dict(split='train'), "split 'train' is unknown; known: test"),
        (FashionO, dict(unknown='letters'), "unknown 'letters' is unknown; known: classes, digits"),
    ],
)
def test_invalid_arguments_raise(dataset, kwargs, words, tiny_fashion):
    with pytest.raises(ValueError, match=words):
        dataset(str(tiny_fashion), **kwargs)


def test_the_filter_takes_improbable_mistakes_up_to_a_number_per_class(tiny_fashion, monkeypatch):
    def opinion(images):  # class 1, and class 2 for the last two images; 4 to 7 are improbable
        scores = np.full((len(images), 10), 0.15)
        scores[:, 4:8] = 0.149
        scores[:, 1] = 0.5
        scores[images[:, 25, 4, 0] >= 111, 2] = 0.6
        return scores

    content = filter_fashion(opinion, tiny_fashion)  # below 0.15, exclusive: classes 4 to 7 of two images each
    expected = {name: [label, label + 10] if 4 <= label < 8 else [] for label, name in enumerate(CLASSES)}
    assert content['adversarial'] == expected
    assert content['origin']['clean_top1'] == 10  # 2 of 20
    rule = content['origin']['adversarial']
    assert (rule['candidates'], rule['passed'], rule['images']) == (20, 8, 8)
    monkeypatch.setattr(filtered_fashion, 'PER_CLASS', 1)
    limited = filter_fashion(opinion, tiny_fashion)
    assert limited['adversarial'] == {name: places[:1] for name, places in expected.items()}
    assert (limited['origin']['adversarial']['passed'], limited['origin']['adversarial']['images']) == (8, 4)


def test_the_file_has_the_selection_of_the_model_and_its_origin(tiny_fashion, tmp_path, monkeypatch):
    config, checkpoint, out = Config.fromfile(CONFIG), tmp_path / 'epoch_30.pth', tmp_path / 'out.json'
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(dict(config.model, data_preprocessor=config.data_preprocessor)).eval()
    torch.nn.init.normal_(model.head.fc.weight, std=30)
    torch.save(dict(state_dict=model.state_dict(), meta={}), checkpoint)
    tiny = lambda probabilities: filter_fashion(probabilities, tiny_fashion)  # noqa: E731
    monkeypatch.setattr(filtered_fashion, 'filter_fashion', tiny)
    main([str(CONFIG), str(checkpoint), str(out)])
    content, committed = json.loads(out.read_text()), read_filtered_fashion()
    assert content.keys() == committed.keys() and content['origin'].keys() == committed['origin'].keys()
    assert content['origin']['checkpoint_sha256'] == sha256_of(checkpoint)
    assert committed['origin']['config'] == CONFIG.name and committed['origin']['command'].split()[2] in main.__module__
    images, labels = load_fashion_images('test', tiny_fashion)
    inputs = torch.tensor(images)[:, None].expand(-1, 3, -1, -1)
    with torch.no_grad():
        scores = torch.stack(
            [s.pred_score for s in model.test_step(dict(inputs=inputs, data_samples=[DataSample() for _ in images]))]
        )
    labels = torch.tensor(labels.tolist())
    hard = (scores.argmax(1) != labels) & (scores[range(20), labels] < 0.15)
    assert sorted(itertools.chain(*content['adversarial'].values())) == hard.nonzero().ravel().tolist() != []
