"""Detection configs: settings of the PVT release, and training of a small model on data in the layout of COCO."""

import json
import math
from pathlib import Path

import pytest
import torch
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope

from mixpro_mm.datasets.digit_scenes import write_digit_scenes
from tests.config_rows import CONFIGS, fresh, run

PARAMETERS = dict(small=44_138_224, large=81_021_680)  # 44.1 M for PVT-S in Table 4


def path_of(size):
    return CONFIGS / 'detection' / f'mask-rcnn_pvt-{size}_mixpro_1x_coco.py'


@pytest.mark.parametrize('size', PARAMETERS)
def test_model_and_optimizer_equal_the_release(size):
    config = fresh(path_of(size))
    with DefaultScope.overwrite_default_scope('mmdet'), torch.device('meta'):
        model = MODELS.build(config.model)
    assert sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad) == PARAMETERS[size]
    rates = [layer.drop_prob for layer in model.backbone.modules() if type(layer).__name__ == 'DropPath']
    assert max(rates, default=0) == pytest.approx(0.1 if size == 'small' else 0.0)
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    assert type(wrapper) is OptimWrapper and wrapper.clip_grad_kwargs is None  # fp32, no clipping
    assert type(wrapper.optimizer) is torch.optim.AdamW
    groups, lr = wrapper.optimizer.param_groups, 2e-4 / 1.4 if size == 'large' else 2e-4
    assert {(group['lr'], group['weight_decay']) for group in groups} == {(lr, 1e-4)}
    assert {id(p) for group in groups for p in group['params']} == {id(p) for p in model.parameters()}


TINY_PVT = dict(  # one block per stage; original widths, as the FPN expects
    embed_dims=(64, 128, 320, 512), num_heads=(1, 2, 5, 8), mlp_ratios=(1, 1, 1, 1), depths=(1, 1, 1, 1),
    sr_ratios=(8, 4, 2, 1),
)  # fmt: skip


def miniature(data, config=None, arch=None):
    """Reduce a config, by default that of PVT-S, and set its data."""
    config = shrink(config or fresh(path_of('small')), arch or TINY_PVT)
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        loader.dataset.update(data_root=str(data), metainfo=dict(classes=tuple('0123456789')))
    config.val_evaluator.ann_file = f'{data}/annotations/instances_val2017.json'
    return config


def shrink(config, arch=TINY_PVT):
    """Reduce a config to few blocks, narrow heads, small images, few regions and one epoch of two iterations."""
    model, roi = config.model, config.model.roi_head
    model.backbone.arch = dict(arch)
    if 'out_channels' in model.neck:
        model.neck.out_channels = 32
    model.rpn_head.update(in_channels=32, feat_channels=32)
    roi.bbox_roi_extractor.out_channels = roi.mask_roi_extractor.out_channels = 32
    roi.bbox_head.update(in_channels=32, fc_out_channels=64, num_classes=10)
    roi.mask_head.update(in_channels=32, conv_out_channels=32, num_convs=1, num_classes=10)
    model.train_cfg.rpn.sampler.num, model.train_cfg.rcnn.sampler.num = 32, 16
    for proposals in (model.train_cfg.rpn_proposal, model.test_cfg.rpn):
        proposals.update(nms_pre=100, max_per_img=50)
    model.test_cfg.rcnn.update(score_thr=0.0, max_per_img=10)  # scores of an untrained detector are low
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
        (resize,) = (step for step in loader.dataset.pipeline if step.type == 'Resize')
        resize.scale = (160, 96)
        loader.dataset.serialize_data = False
    config.train_dataloader.dataset.indices = 2 * config.train_dataloader.batch_size
    config.default_hooks.checkpoint, config.log_level = None, 'WARNING'
    return config


def write_checkpoint(path):
    """Write a checkpoint of a classifier as mmpretrain does, and return its tensors."""
    backbone = dict(type='mixpro_mm.PVT', arch=TINY_PVT)
    head = dict(type='LinearClsHead', num_classes=1000, in_channels=512)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(dict(type='ImageClassifier', backbone=backbone, head=head))
    path.parent.mkdir(parents=True)
    torch.save(dict(meta=dict(epoch=300), state_dict=model.state_dict()), path)
    return model.state_dict()


def test_a_small_model_trains_from_a_checkpoint_and_is_evaluated(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = miniature(write_digit_scenes(tmp_path / 'scenes', 8, 2) / 'coco')
    checkpoint, base = config.model.backbone.init_cfg.checkpoint, config.optim_wrapper.optimizer.lr
    tensors = write_checkpoint(Path(checkpoint))
    runner, watch, _ = run(config, tmp_path)
    parts = {'loss', 'loss_rpn_cls', 'loss_rpn_bbox', 'loss_cls', 'loss_bbox', 'loss_mask'}
    assert len(watch.losses) == 2 and all(set(losses) == parts for losses in watch.losses)
    assert all(0 < value < math.inf for losses in watch.losses for value in losses.values())
    state = runner.optim_wrapper.optimizer.state  # every parameter needs a gradient in DistributedDataParallel
    assert [key for key, p in runner.model.named_parameters() if p not in state] == []
    assert watch.rates == pytest.approx([base * 0.001, base * (0.001 + 0.999 / 499)])
    assert all(0 <= watch.metrics[f'coco/{kind}_mAP'] <= 1 for kind in ('bbox', 'segm'))  # -1 without annotations
    report = json.loads((tmp_path / 'transfer.json').read_text())
    assert report['complete'] and report['checkpoint'] == checkpoint
    assert {*report['loaded'], 'pos_embed4'} == set(runner.model.backbone.state_dict())
    kept = runner.model.backbone.block4[0].attn.kv.weight  # almost unchanged after two steps of warm-up
    torch.testing.assert_close(kept, tensors['backbone.block4.0.attn.kv.weight'], rtol=0, atol=1e-6)


def test_a_plain_transformer_trains_with_strides_4_to_32(tmp_path):
    config = fresh(CONFIGS / 'detection' / 'mask-rcnn_deit-small_mixpro_1x_coco.py')
    with DefaultScope.overwrite_default_scope('mmdet'), torch.device('meta'):
        model = MODELS.build(config.model)
        maps = model.extract_feat(torch.empty(1, 3, 256, 320))
    assert [tuple(each.shape[1:]) for each in maps] == [(256, 256 // s, 320 // s) for s in (4, 8, 16, 32, 64)]
    assert sum(parameter.numel() for parameter in model.backbone.parameters()) == 21_665_664  # DeiT-S without its head

    arch = dict(embed_dims=32, num_layers=4, num_heads=2, feedforward_channels=64)
    backbone = dict(type='VisionTransformer', arch=arch, img_size=224, patch_size=16)
    head = dict(type='VisionTransformerClsHead', num_classes=1000, in_channels=32)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        pretrained = MODELS.build(dict(type='ImageClassifier', backbone=backbone, head=head))
    torch.save(dict(meta=dict(epoch=300), state_dict=pretrained.state_dict()), tmp_path / 'epoch_300.pth')
    pyramid, fpn = config.model.neck
    pyramid.update(embed_dim=32, norm_cfg=dict(type='BN'))  # one process on CPU
    fpn.update(in_channels=[32] * 4, out_channels=32)
    config.model.backbone.update(out_indices=(0, 1, 2, 3))
    config.model.backbone.init_cfg.checkpoint = str(tmp_path / 'epoch_300.pth')
    config = miniature(write_digit_scenes(tmp_path / 'scenes', 8, 2) / 'coco', config, arch)
    runner, watch, _ = run(config, tmp_path)
    assert len(watch.losses) == 2 and all(0 < losses['loss'] < math.inf for losses in watch.losses)
    assert json.loads((tmp_path / 'transfer.json').read_text())['complete']
    assert 0 <= watch.metrics['coco/bbox_mAP'] <= 1
    decays = {group['weight_decay'] for group in runner.optim_wrapper.param_groups}
    assert decays == {0.0, 0.05}
