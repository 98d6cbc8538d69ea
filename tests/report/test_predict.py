"""Predictions of models for image files."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mixpro_mm.report.figures.predictions import Predictor
from mixpro_mm.report.predict import main
from mixpro_mm.utils import models
from tests.config_rows import CONFIGS

DIGITS = CONFIGS / 'digits'
CLASSIFIER = DIGITS / 'deit-micro_mixpro_digits.py'
SEGMENTER = DIGITS / 'segmenter_deit-micro_scratch_digit-scenes.py'
DETECTOR = DIGITS / 'mask-rcnn_pvt-micro_scratch_digit-scenes.py'
META = dict(classes=('zero', 'one, uno', *map(str, range(2, 11))), palette=[[n, 0, 0] for n in range(11)])


@pytest.fixture
def image(tmp_path):
    path = tmp_path / 'photo.png'
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (70, 96, 3)).astype(np.uint8)).save(path)
    return str(path)


@pytest.fixture
def checkpoint(tmp_path):
    """Return a function that writes random weights of a config, with or without the meta data of mmengine."""

    def write(config, meta=None, edit=lambda model: None):
        torch.manual_seed(0)
        model = models.load_model(models.load_config(config))
        edit(model)
        torch.save(dict(state_dict=model.state_dict(), meta=dict(dataset_meta=meta)), tmp_path / 'model.pth')
        return str(tmp_path / 'model.pth')

    return write


def test_a_classifier_names_the_classes_of_its_checkpoint_by_score(image, checkpoint):
    def prefer_one(model):
        model.head.layers.head.weight.data.zero_()
        model.head.layers.head.bias.data.copy_(torch.tensor([3.0, 6.0, 2.0, *[-9.0] * 7]))

    path = checkpoint(CLASSIFIER, META, prefer_one)
    figure, text = Predictor(CLASSIFIER, path).draw(image)
    assert text == 'one 94%, zero 5%, 2 2%'
    assert [axes.get_title() for axes in figure.axes] == [text]
    assert Predictor(CLASSIFIER, checkpoint(CLASSIFIER)).meta['classes'] == [*'0123456789']  # of the data set


def test_a_segmentation_has_the_color_of_its_class(image, checkpoint):
    def only_three(model):
        model.decode_head.mask_norm.weight.data.zero_()
        model.decode_head.mask_norm.bias.data.copy_(9.0 * torch.eye(11)[3])

    figure, text = Predictor(SEGMENTER, checkpoint(SEGMENTER, META, only_three)).draw(image)
    assert text == '3 100%'
    pixels = figure.axes[1].images[0].get_array()
    assert pixels.shape == (70, 96, 3) and np.allclose(pixels, np.array([3, 0, 0]) / 255)
    assert [legend.get_text() for legend in figure.legends[0].get_texts()] == ['3']


def test_a_detector_draws_what_is_above_the_score(image, checkpoint):
    path = checkpoint(DETECTOR, META)
    (nothing, said), (figure, text) = (Predictor(DETECTOR, path, score=score).draw(image) for score in (1.0, 0.0))
    before, after = (each.axes[1].images[0].get_array() for each in (nothing, figure))
    assert said == 'nothing found' and not nothing.legends
    assert np.array_equal(before, nothing.axes[0].images[0].get_array()) and not np.array_equal(before, after)
    assert ' x ' in text and figure.legends


def test_the_command_writes_a_picture_for_each_image(image, checkpoint, tmp_path, capsys):
    other = tmp_path / 'other' / 'photo.png'
    other.parent.mkdir()
    Image.open(image).convert('L').save(other)
    path = checkpoint(CLASSIFIER, META)
    assert main([str(CLASSIFIER), path, image, str(other), '--out', str(tmp_path / 'out')]) == 0
    assert sorted(file.name for file in (tmp_path / 'out').iterdir()) == ['0-photo.png', '1-photo.png']
    lines = capsys.readouterr().out.splitlines()[-2:]
    for number, (line, given) in enumerate(zip(lines, (image, str(other)), strict=True)):
        assert line.startswith(f'{given}: ') and line.endswith(f'%; {tmp_path}/out/{number}-photo.png')


@pytest.mark.parametrize('wrong', ['a tensor is missing', 'no image'])
def test_what_does_not_fit_is_said_in_one_line(wrong, image, checkpoint, tmp_path, capsys):
    path = checkpoint(CLASSIFIER)
    if wrong == 'no image':
        (tmp_path / 'photo.png').write_text('text')
    else:
        content = torch.load(path)
        del content['state_dict']['backbone.cls_token']
        torch.save(content, path)
    assert main([str(CLASSIFIER), path, image, '--out', str(tmp_path / 'out')]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('predict: ') and ('photo.png' if wrong == 'no image' else 'backbone.cls_token') in line
    assert not (tmp_path / 'out').exists()


def test_colors_are_drawn_if_there_is_no_palette(checkpoint):
    meta = models.dataset_meta(Config.fromfile(CLASSIFIER), checkpoint(CLASSIFIER, dict(classes=('a', 'b'))))
    assert meta['classes'] == ['a', 'b'] and len({*meta['palette'][:10]}) == 10
