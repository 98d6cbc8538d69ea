"""Detection configs: settings of the PVT release, and training of small models on data in the layout of COCO."""

import json
import math
from pathlib import Path
from unittest import mock

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner

from mixpro_mm.datasets.digit_scenes import write_digit_scenes
from tests import config_rows
from tests.config_rows import CONFIGS, SERIAL

PARENT = 'pvt-small_mixpro'
PARAMETERS = dict(small=44_138_224, large=81_021_680)  # 44.1 M for PVT-S in Table 4


def path_of(name):
    return CONFIGS / 'detection' / f'mask-rcnn_{name}_1x_coco.py'


def read(name):
    return config_rows.read(path_of(name))


def fresh(name):
    return config_rows.fresh(path_of(name))


def checkpoint_of(name):
    return read(name).model.backbone.init_cfg.checkpoint


@pytest.mark.parametrize('size', PARAMETERS)
def test_model_and_optimizer_equal_the_release(size):
    name = f'pvt-{size}_mixpro'
    with DefaultScope.overwrite_default_scope('mmdet'), torch.device('meta'):
        model = MODELS.build(fresh(name).model)
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[size]
    assert all(parameter.requires_grad for parameter in model.parameters())
    rates = [layer.drop_prob for layer in model.backbone.modules() if type(layer).__name__ == 'DropPath']
    assert max(rates, default=0) == pytest.approx(0.1 if size == 'small' else 0.0)
    wrapper = build_optim_wrapper(model, fresh(name).optim_wrapper)
    assert type(wrapper) is OptimWrapper and wrapper.clip_grad_kwargs is None  # fp32, no clipping
    assert type(wrapper.optimizer) is torch.optim.AdamW
    groups, lr = wrapper.optimizer.param_groups, 2e-4 / 1.4 if size == 'large' else 2e-4
    assert {group['lr'] for group in groups} == {lr} and {group['weight_decay'] for group in groups} == {1e-4}
    assert {id(p) for group in groups for p in group['params']} == {id(p) for p in model.parameters()}
    assert read(name).train_dataloader.batch_size * 8 == read(name).auto_scale_lr.base_batch_size


def test_option_in_the_headers_sets_the_checkpoint():
    for size in ('tiny', 'medium', 'large'):
        name = f'pvt-{size}_mixpro'
        (line,) = (line for line in config_rows.header(path_of(name)) if '--cfg-options' in line)
        option, _, value = line.split('--cfg-options ')[1].partition('=')
        assert option.split('.') == ['model', 'backbone', 'init_cfg', 'checkpoint']
        assert value == checkpoint_of(name).replace('mixpro', 'transmix')


@pytest.fixture(scope='module')
def coco(tmp_path_factory):
    return write_digit_scenes(tmp_path_factory.mktemp('scenes') / 'set', 8, 2) / 'coco'


TINY_PVT = dict(  # one block per stage; original widths, as the FPN expects
    embed_dims=(64, 128, 320, 512), num_heads=(1, 2, 5, 8), mlp_ratios=(1, 1, 1, 1), depths=(1, 1, 1, 1),
    sr_ratios=(8, 4, 2, 1),
)  # fmt: skip


def miniature(name, work_dir, data):
    """Reduce a config to few blocks, narrow heads, small images, few regions and one epoch of two iterations."""
    config = fresh(name)
    model = config.model
    if name != 'r50':
        model.backbone.arch = TINY_PVT
    else:
        model.backbone.update(base_channels=16, init_cfg=None)  # no download
        model.neck.in_channels = [64, 128, 256, 512]
    model.neck.out_channels = 32
    model.rpn_head.update(in_channels=32, feat_channels=32)
    roi = model.roi_head
    roi.bbox_roi_extractor.out_channels = roi.mask_roi_extractor.out_channels = 32
    roi.bbox_head.update(in_channels=32, fc_out_channels=64, num_classes=10)
    roi.mask_head.update(in_channels=32, conv_out_channels=32, num_convs=1, num_classes=10)
    model.train_cfg.rpn.sampler.num = 32
    model.train_cfg.rpn_proposal.update(nms_pre=100, max_per_img=50)
    model.train_cfg.rcnn.sampler.num = 16
    model.test_cfg.rpn.update(nms_pre=100, max_per_img=50)
    model.test_cfg.rcnn.update(score_thr=0.0, max_per_img=10)  # scores of an untrained detector are low
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
        (resize,) = (step for step in loader.dataset.pipeline if step.type == 'Resize')
        assert tuple(resize.scale) == (1333, 800)
        resize.scale = (160, 96)
        if data:
            loader.dataset.update(data_root=str(data), metainfo=dict(classes=tuple('0123456789')))
            config.val_evaluator.ann_file = f'{data}/annotations/instances_val2017.json'
        loader.dataset.serialize_data = False  # slow
    config.train_dataloader.dataset.indices = 2 * config.train_dataloader.batch_size
    config.train_cfg.max_epochs = 1
    config.default_hooks.checkpoint = None
    config.work_dir, config.experiment_name = str(work_dir), f'detection-{next(SERIAL)}'
    config.log_level = 'WARNING'
    return config


class Watch(Hook):
    """Store losses, learning rates and metrics."""

    def __init__(self):
        self.losses, self.rates, self.metrics = [], [], None

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append({key: value.item() for key, value in outputs.items() if key.startswith('loss')})
        self.rates.append(runner.optim_wrapper.get_lr()['lr'][0])

    def after_val_epoch(self, runner, metrics=None):
        self.metrics = metrics


def write_checkpoint(path, prefix='backbone.'):
    """Write a checkpoint of a classifier as mmpretrain does."""
    classifier = dict(
        type='ImageClassifier',
        backbone=dict(type='mixpro_mm.PVT', arch=TINY_PVT),
        head=dict(type='LinearClsHead', num_classes=1000, in_channels=512),
    )
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(classifier)
    state_dict = {key.replace('backbone.', prefix): value for key, value in model.state_dict().items()}
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(dict(meta=dict(epoch=300), state_dict=state_dict), path)
    return state_dict


def train(config):
    watch = Watch()
    with mock.patch.object(Config, 'pretty_text', ''), mock.patch.object(Runner, '_log_env'):  # slow
        runner = Runner.from_cfg(config)
        runner.register_hook(watch)
        runner.train()
    return runner, watch


@pytest.mark.parametrize('name', [PARENT, 'r50'])
def test_small_models_train_from_a_checkpoint_and_are_evaluated(name, coco, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state_dict = write_checkpoint(checkpoint_of(name)) if name != 'r50' else None
    runner, watch = train(miniature(name, tmp_path, coco))
    parts = {'loss', 'loss_rpn_cls', 'loss_rpn_bbox', 'loss_cls', 'loss_bbox', 'loss_mask'}
    assert len(watch.losses) == 2 and all(set(losses) == parts for losses in watch.losses)
    assert all(0 < value < math.inf for losses in watch.losses for value in losses.values())
    state = runner.optim_wrapper.optimizer.state  # every parameter needs a gradient in DistributedDataParallel
    assert [key for key, p in runner.model.named_parameters() if p.requires_grad and p not in state] == []
    base = read(name).optim_wrapper.optimizer.lr
    assert watch.rates == pytest.approx([base * 0.001, base * (0.001 + 0.999 / 499)])
    for kind in ('bbox', 'segm'):
        assert 0 <= watch.metrics[f'coco/{kind}_mAP'] <= 1  # -1 without annotations
    assert (tmp_path / 'transfer.json').exists() is (name != 'r50')
    if name != 'r50':
        report = json.loads((tmp_path / 'transfer.json').read_text())
        assert report['complete'] and report['checkpoint'] == checkpoint_of(name)
        assert {*report['loaded'], 'pos_embed4'} == set(runner.model.backbone.state_dict())
        kept = runner.model.backbone.block4[0].attn.kv.weight  # almost unchanged after two steps of warm-up
        torch.testing.assert_close(kept, state_dict['backbone.block4.0.attn.kv.weight'], rtol=0, atol=1e-6)


def test_a_checkpoint_with_another_prefix_stops_the_run(coco, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_checkpoint(checkpoint_of(PARENT), 'model.')
    with (
        mock.patch('mmdet.models.detectors.MaskRCNN.loss', side_effect=AssertionError('it trained')),
        pytest.raises(RuntimeError, match=r"backbone \(PVT\) under the prefix 'model\.'"),
    ):
        train(miniature(PARENT, tmp_path, coco))
    assert not (tmp_path / 'transfer.json').exists()


def test_missing_data_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r'data/coco/annotations/instances_train2017\.json'):
        train(miniature(PARENT, tmp_path / 'run', None))
