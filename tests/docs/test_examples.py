"""The examples that pages show train at a smaller size."""

import json
import runpy
import sys

import cv2
import numpy as np
import pytest
import torch
from mmengine import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mixpro_mm.registry import BATCH_AUGMENTS
from tests.docs.pages import DOCS, blocks_of

CLASSES = ('heron', 'kite', 'owl')
TINY = dict(embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=16)


def log_of(work_dir):
    (path,) = work_dir.glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_stripes_are_upright_and_labeled_by_area(own_method):
    torch.manual_seed(0)
    augment = own_method['StripeMix'](patch_size=4, ratio='sample')
    images = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 3, 8, 22).contiguous()
    mixed, labels = augment(images, torch.eye(6))
    columns = mixed[:, 0, 0]
    assert torch.equal(mixed, columns[:, None, None].expand_as(mixed))  # upright
    for start in range(0, 22, 4):  # as wide as a patch, the last one cut
        assert (columns[:, start : start + 4] == columns[:, start : start + 1]).all()
    area = torch.stack([(columns == n).float().mean(dim=1) for n in range(6)], dim=1)
    torch.testing.assert_close(labels, area)
    assert len(set(area.diagonal().tolist())) > 2  # one ratio per sample


def test_own_method_trains_with_attention_labels(tmp_path, monkeypatch, own_method):
    """Run the script on 48 digits with a smaller model."""
    read = Config.fromfile

    def smaller(path):
        config = read(path)
        config.model.backbone.arch = TINY
        config.model.head.in_channels = 16
        config.train_dataloader.update(batch_size=16, dataset=dict(config.train_dataloader.dataset, indices=48))
        config.val_dataloader.dataset.indices = 16
        config.default_hooks.logger.interval = 1
        return config

    monkeypatch.setattr(Config, 'fromfile', staticmethod(smaller))
    monkeypatch.setattr(sys, 'argv', ['own_method.py', '6'])
    monkeypatch.chdir(tmp_path)
    for registry in (BATCH_AUGMENTS, BATCH_AUGMENTS.parent):  # the script registers it again
        registry._module_dict.pop('StripeMix')
    runpy.run_path(str(DOCS / 'examples' / 'own_method.py'), run_name='__main__')
    log = log_of(tmp_path / 'work_dirs' / 'stripe_mix')
    steps = [line for line in log if 'loss' in line]
    assert len(steps) == 18 and all(line['pure_tokens'] == 1 for line in steps)  # stripes are as wide as patches
    assert any(abs(line['lam_attn'] - line['lam_area']) > 1e-4 for line in steps)
    assert np.mean([line['loss'] for line in steps[-6:]]) < steps[0]['loss']


def test_factor_and_label_weights_arrive_in_tensorboard(tmp_path):
    config = Config.fromfile(DOCS.parent / 'configs/digits/deit-micro_mixpro_digits.py')
    (lines,) = (each.text for each in blocks_of(DOCS / 'your_config.md') if 'TensorboardVisBackend' in each.text)
    tracked = Config.fromstring(lines, '.py')
    config.merge_from_dict(dict(visualizer=dict(tracked.visualizer, name='tracked'), work_dir=str(tmp_path)))
    config.model.backbone.arch, config.model.head.in_channels = TINY, 16
    config.train_dataloader.update(batch_size=16, dataset=dict(config.train_dataloader.dataset, indices=48))
    config.val_dataloader.dataset.indices = 16
    config.train_cfg.max_epochs, config.default_hooks.logger.interval = 6, 1
    Runner.from_cfg(config).train()
    (path,) = tmp_path.glob('*/vis_data/events.out.tfevents.*')
    events, logged = EventAccumulator(str(path)).Reload(), log_of(tmp_path)
    for name in ('loss', 'factor', 'lam_attn', 'lam_area'):
        written = [event.value for event in events.Scalars(name)]
        assert len(written) > 3 and written == pytest.approx(
            [line[name] for line in logged if name in line], rel=1e-4
        ), name


@pytest.fixture
def own_images(tmp_path):
    """Write the config with its first values set for a folder of JPEGs."""
    generator = np.random.default_rng(0)
    for split, count in (('train', 8), ('val', 4)):
        for shade, name in enumerate(CLASSES):
            folder = tmp_path / 'data' / split / name
            folder.mkdir(parents=True)
            for n in range(count):
                blots = generator.integers(0, 80, (4, 5, 3)) + 80 * shade
                image = cv2.resize(blots.astype(np.uint8), (60 + n, 48), interpolation=cv2.INTER_CUBIC)
                assert cv2.imwrite(str(folder / f'{n}.jpg'), image)
    text = (DOCS / 'examples' / 'own_images.py').read_text(encoding='utf-8')
    text = text.replace('data/my_images', str(tmp_path / 'data')).replace('epochs = 300', 'epochs = 15')
    (tmp_path / 'own_images.py').write_text(text.replace('num_classes = 10', 'num_classes = 3'), encoding='utf-8')
    return tmp_path / 'own_images.py'


def test_own_images_train_from_a_folder(own_images):
    config = Config.fromfile(own_images)
    config.model.backbone.update(arch=TINY, img_size=32, patch_size=8)  # a smaller model of smaller images
    config.model.head.in_channels = 16
    config.model.train_cfg.augments[1].update(patch_size=8, mask_scale=1)
    config.train_dataloader.dataset.pipeline[0].scale = 32
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        loader.update(batch_size=8, num_workers=0)
    for loader in (config.val_dataloader, config.test_dataloader):
        loader.dataset.pipeline[1].scale, loader.dataset.pipeline[2].crop_size = 36, 32
    config.merge_from_dict({'auto_scale_lr.enable': False, 'optim_wrapper.optimizer.lr': 1e-2})
    config.default_hooks.logger = dict(type='LoggerHook', interval=1)
    config.work_dir = str(own_images.parent / 'run')
    runner = Runner.from_cfg(config)
    runner.train()
    assert tuple(runner.train_dataloader.dataset.CLASSES) == CLASSES
    log = log_of(own_images.parent / 'run')
    assert 10 < sum('factor' in line for line in log) < 35  # half of 45 batches are MixPro's
    assert [line['accuracy/top1'] for line in log if 'accuracy/top1' in line][-1] > 60  # three shades of gray


def test_own_images_build_at_full_size_with_the_lines_of_the_page(own_images):
    lines = [block.text for block in blocks_of(DOCS / 'your_config.md') if block.language == 'python']
    own_images.write_text(own_images.read_text() + next(text for text in lines if 'init_cfg' in text))
    config = Config.fromfile(own_images)
    assert config.model.backbone.init_cfg == dict(
        type='Pretrained', checkpoint='checkpoints/deit-small_official.pth', prefix='backbone.'
    )
    assert [hook.type for hook in config.custom_hooks] == ['mixpro_mm.LabelingHook', 'mixpro_mm.TransferCheckHook']
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(config.model | dict(data_preprocessor=config.data_preprocessor))
    assert sum(p.numel() for p in model.parameters()) == 22_050_664 - (1000 - len(CLASSES)) * 385  # DeiT-S of Table 1


@pytest.mark.parametrize('epochs, warm_up', [(1, 0), (2, 1), (300, 20)])
def test_own_images_schedule_any_number_of_epochs(own_images, epochs, warm_up):
    own_images.write_text(own_images.read_text().replace('epochs = 15', f'epochs = {epochs}'))
    ranges = [(each.get('begin', 0), each.end) for each in Config.fromfile(own_images).param_scheduler]
    assert ranges == [(0, warm_up)] * (warm_up > 0) + [(warm_up, epochs)]
