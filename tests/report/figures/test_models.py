import numpy as np
import pytest
import torch
from mmpretrain.models import ClsDataPreprocessor
from PIL import Image

from mixpro_mm.visualize.data import build_dataset, class_names, read_image, take_items
from mixpro_mm.report.figures.models import build_model, hook_named, load_model, normalised, pixels_of, read_config, to_rgb


@pytest.mark.parametrize('to_rgb_first', [True, False])
def test_pixels_come_back_as_they_were_in_rgb(to_rgb_first):
    preprocessor = ClsDataPreprocessor(mean=[10, 20, 30], std=[2, 3, 4], to_rgb=to_rgb_first)
    bgr = torch.randint(0, 256, (2, 3, 4, 5))
    images = preprocessor(dict(inputs=bgr))['inputs']
    torch.testing.assert_close(pixels_of(preprocessor, images), bgr.flip(1).float())
    torch.testing.assert_close(normalised(preprocessor, bgr.flip(1).float()), images)
    np.testing.assert_allclose(to_rgb(preprocessor, images)[1], bgr[1].flip(0).permute(1, 2, 0) / 255, atol=1e-6)


def test_a_preprocessor_that_does_not_normalise():
    preprocessor = ClsDataPreprocessor(to_rgb=True)
    bgr = torch.randint(0, 256, (1, 3, 2, 2))
    images = preprocessor(dict(inputs=bgr))['inputs']
    assert torch.equal(pixels_of(preprocessor, images), bgr.flip(1).float())
    assert torch.equal(normalised(preprocessor, bgr.flip(1).float()), images)


def test_every_weight_must_be_in_the_file(digits):
    path, checkpoint = digits('deit')
    config, tensors = read_config(path), torch.load(checkpoint)['state_dict']
    loaded = load_model(config, checkpoint)
    assert all(torch.equal(value, tensors[key]) for key, value in loaded.state_dict().items())
    assert not loaded.training
    torch.save({k: v for k, v in tensors.items() if not k.startswith('head.')}, checkpoint)
    assert load_model(config, checkpoint, headless=True)
    with pytest.raises(ValueError, match=r'2 tensors are not in the file, such as head\.layers\.head\.weight'):
        load_model(config, checkpoint)
    torch.save({k.removeprefix('backbone.'): v for k, v in tensors.items()}, checkpoint)
    with pytest.raises(ValueError, match='tensors are not in the file, such as backbone'):
        load_model(config, checkpoint, headless=True)


def test_a_model_is_built_without_what_it_would_fetch_and_the_config_stays(config_file):
    config = read_config(config_file('plain'))
    config.merge_from_dict(dict(model=dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='/no/file')))))
    before = config.pretty_text
    build_model(config).init_weights()
    assert config.pretty_text == before


def test_hooks_are_found_by_the_name_of_their_class(config_file):
    config = read_config(config_file('plain'))
    assert hook_named(config, 'LabelingHook')['type'] == 'mixpro_mm.LabelingHook'
    assert hook_named(config, 'EMAHook') is None


def test_a_file_comes_as_the_test_data_do(config_file, tmp_path):
    config = read_config(config_file('plain'))
    dataset = build_dataset(config, 'test')
    scan = dataset.get_data_info(7)['img']
    colored = np.stack([scan[..., 0], scan[..., 0] // 2, scan[..., 0] // 4], axis=-1)  # RGB
    Image.fromarray(colored).save(tmp_path / 'a.png')
    packed = read_image(config, str(tmp_path / 'a.png'))['inputs']
    assert torch.equal(packed, torch.from_numpy(colored[..., ::-1].copy()).permute(2, 0, 1))
    Image.fromarray(colored).resize((100, 80)).save(tmp_path / 'b.png')
    assert read_image(config, str(tmp_path / 'b.png'))['inputs'].shape == (3, 32, 32)
    Image.fromarray(scan[..., 0].astype(np.uint16) * 257).save(tmp_path / 'c.png')
    with pytest.raises(ValueError, match=rf'c\.png \(mode I;16\) holds values up to {int(scan[..., 0].max()) * 257}: '):
        read_image(config, str(tmp_path / 'c.png'))


def test_a_seed_decides_on_images_and_what_the_pipeline_does_to_them(config_file):
    dataset = build_dataset(read_config(config_file('plain')), 'train')
    first, again, other = (take_items(dataset, 3, seed) for seed in (1, 1, 2))
    assert all(torch.equal(a['inputs'], b['inputs']) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a['inputs'], b['inputs']) for a, b in zip(first, other, strict=True))


def test_names_of_classes_end_at_the_first_comma():
    class Data:
        metainfo = dict(classes=['tench, Tinca tinca', 'goldfish'])

    assert class_names(Data, 3) == ['tench', 'goldfish', '2']
    assert class_names(object(), 2) == ['0', '1']
