import hashlib
import itertools
import json
import os
import re

import pytest
import torch
from mmengine.model import BaseModel, MMDistributedDataParallel, PretrainedInit
from mmengine.registry import MODELS
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mixpro_mm.hooks import TransferCheckHook

SERIAL = itertools.count()
ARCH = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
SENTENCES = {
    'prefix': r"has backbone \(VisionTransformer\) under the prefix 'backbone\.', not under 'encoder\.'; .*, head",
    'head only': r"has no backbone \(VisionTransformer\), not under 'backbone\.'; its top-level names: head\.$",
    'renamed': r'has other names than .* 24 of 30 .*: layers\.0\.ln1\.weight, .* has 24 .*: backbone\.blocks\.0\.',
    'shape': r'another architecture .*: 6 of 30 .*, layers\.0\.ffn.* is \[96, 32\] in the file and \[64, 32\] in',
    'shallow': r'pth lacks 12 of 30 tensors of backbone \(VisionTransformer\): layers\.1\.ln1\.weight',
    'deep': r'pth has 12 tensors that backbone \(VisionTransformer\) does not have: backbone\.layers\.2\.',
    'list': r'backbone\.init_cfg is a list, after which .* pos_embed again: use one dict',
    'none': r"no checkpoint is named: set backbone\.init_cfg=dict\(.*prefix='backbone\.'\), load_from, or this hook's ",
    'ignored': r'differ from .* \(.*\); it was not loaded: init_weights of this class ignores `prefix`',
    'elsewhere': r'differ from .* \(.*\); it was not loaded: the tensors are under `model`',
    'redrawn': r'1 of 30 .* differ from .* \(pos_embed\); they were initialized again after loading',
}


class Model(BaseModel):
    """A backbone with a step counter."""

    def __init__(self, backbone, init_cfg=None):
        super().__init__(init_cfg=init_cfg)
        self.backbone = MODELS.build(backbone)
        self.steps = 0

    def forward(self, inputs, mode='tensor'):
        self.steps += 1
        return dict(loss=self.backbone(inputs)[-1].mean())


def vit(img_size=32, **kwargs):
    kwargs = dict(type='mmpretrain.VisionTransformer', arch=ARCH, patch_size=8, out_type='featmap') | kwargs
    return dict(kwargs, img_size=img_size)


def pretrained(path, prefix='backbone.', **kwargs):
    return dict(type='Pretrained', checkpoint=str(path), prefix=prefix, **kwargs)


def write(path, backbone=None, rename=lambda key: f'backbone.{key}'):
    """Write a checkpoint with random tensors, which differ from initial values."""
    state_dict = MODELS.build(backbone or vit(out_type='cls_token')).state_dict()
    state_dict = {rename(key): torch.randn_like(value) for key, value in state_dict.items() if rename}
    torch.save(dict(state_dict={**state_dict, 'head.layers.head.weight': torch.randn(3, 32)}), path)
    return path


@pytest.fixture
def good(tmp_path):
    return write(tmp_path / 'good.pth')


@pytest.fixture
def train(tmp_path):
    """Train one epoch of two steps; returns (model, transfer.json)."""

    def run(model, work_dir='run', hook_cfg=None, epochs=1, images=32, **kwargs):
        run.runner = Runner(
            model,
            str(tmp_path / work_dir),
            train_dataloader=DataLoader([dict(inputs=torch.randn(3, images, images))] * 2),
            train_cfg=dict(by_epoch=True, max_epochs=epochs),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
            custom_hooks=[dict(type='mixpro_mm.TransferCheckHook', **(hook_cfg or {}))],
            experiment_name=f'transfer-{next(SERIAL)}',
            log_level='WARNING',
            **kwargs,
        )
        run.runner.train()
        return model, json.loads((tmp_path / work_dir / 'transfer.json').read_text())

    return run


def stopped(train, tmp_path, model, sentence, **kwargs):
    """Check that the run stops before its first step with this message only."""
    with pytest.raises((RuntimeError, ValueError, FileNotFoundError)) as stop:
        train(model, **kwargs)
    message = str(stop.value)
    assert [name for name, pattern in SENTENCES.items() if re.search(pattern, message)] == [sentence], message
    assert '\n' not in message and message.endswith('.') and len(message) < 500
    assert model.steps == 0 and not list(tmp_path.rglob('*.tmp'))


def test_good_file_comes_over_whole(train, good):
    model, report = train(Model(vit(init_cfg=pretrained(good))))
    assert model.steps == 2
    assert report['complete'] and report['ratio'] == 1
    assert report['sha256'] == hashlib.sha256(good.read_bytes()).hexdigest()
    assert (report['checkpoint'], report['prefix'], report['module']) == (str(good), 'backbone.', 'VisionTransformer')
    assert sorted(report['loaded']) == sorted(model.backbone.state_dict())
    assert report['dropped'] == ['head.*']
    assert [h._file for h in train.runner.hooks if isinstance(h, TransferCheckHook)] == [None]
    assert not any(report[key] for key in ('resized', 'missing', 'mismatched', 'altered', 'unexpected', 'fresh'))

    _, report = train(Model(vit((64, 48), init_cfg=pretrained(good))), 'resized', images=48)
    assert report['complete'] and len(report['loaded']) == 29
    assert report['resized'] == [dict(name='pos_embed', file=[1, 17, 32], module=[1, 49, 32])]


def test_what_is_loaded_last_is_what_counts(train, good, tmp_path):
    other = write(tmp_path / 'other.pth')
    wrapped = write(tmp_path / 'c.pth', rename=lambda key: f'student.backbone.{key}')
    runs = [
        (Model(vit()), dict(load_from=str(good)), good, ''),
        (Model(vit(), init_cfg=pretrained(good, prefix=None)), {}, good, ''),
        (Model(vit(), init_cfg=pretrained(wrapped, prefix='student')), {}, wrapped, 'student.'),
        (Model(vit(init_cfg=pretrained(good))), dict(load_from=str(other)), other, ''),
    ]
    for number, (model, settings, path, prefix) in enumerate(runs):
        _, report = train(model, f'run{number}', **settings)
        assert report['complete'] and model.steps == 2
        assert (report['checkpoint'], report['prefix']) == (str(path), f'{prefix}backbone.')


def test_file_prefix_and_allowed_names_are_arguments_of_the_hook(train, tmp_path, good):
    bare = write(tmp_path / 'bare.pth', rename=lambda key: key)

    class Own(Model):
        def init_weights(self):
            self.backbone.load_state_dict(torch.load(bare)['state_dict'], strict=False)

    _, report = train(Own(vit()), hook_cfg=dict(checkpoint=str(bare), prefix=''))
    assert report['complete'] and report['dropped'] == ['head.layers.head.weight']
    model = Model(vit(final_norm=False, init_cfg=pretrained(good)))
    _, report = train(model, 'run2', hook_cfg=dict(allow=['ln1.*']))
    assert report['complete'] and {'backbone.ln1.bias', 'backbone.ln1.weight'} < set(report['dropped'])


WRONG = {
    'prefix': dict(),
    'head only': dict(rename=None),
    'renamed': dict(rename=lambda key: f'backbone.{key}'.replace('layers.', 'blocks.', 1)),
    'shape': dict(backbone=vit(arch=dict(ARCH, feedforward_channels=96))),
    'shallow': dict(backbone=vit(arch=dict(ARCH, num_layers=1))),
    'deep': dict(backbone=vit(arch=dict(ARCH, num_layers=3))),
}


@pytest.mark.parametrize('sentence', WRONG)
def test_a_wrong_file_stops_the_run(train, tmp_path, sentence):
    path = write(tmp_path / 'wrong.pth', **WRONG[sentence])
    init_cfg = pretrained(path, 'encoder.' if sentence == 'prefix' else 'backbone.')
    stopped(train, tmp_path, Model(vit(init_cfg=init_cfg)), sentence)
    assert not list(tmp_path.rglob('transfer.json'))


def test_list_form_stops_the_run_even_where_it_would_work(train, tmp_path, good):
    stopped(train, tmp_path, Model(vit(init_cfg=[dict(type='TruncNormal', layer='Linear')])), 'none')
    stopped(train, tmp_path, Model(vit(init_cfg=[pretrained(good)])), 'list')
    with pytest.raises(RuntimeError, match=r'model\.init_cfg is a list'):
        train(Model(vit(), init_cfg=[pretrained(good, prefix=None)]), 'run2')


def test_redrawn_position_embedding_is_named(train, tmp_path, good):
    init_cfg = pretrained(good) | dict(type=PretrainedInit)  # mmpretrain compares with the string only
    stopped(train, tmp_path, Model(vit(init_cfg=init_cfg)), 'redrawn')
    report = json.loads((tmp_path / 'run' / 'transfer.json').read_text())
    assert report['altered'] == ['pos_embed'] and report['ratio'] == 29 / 30 and not report['complete']


def test_weights_that_were_not_loaded_are_explained(train, tmp_path):
    kwargs = dict(img_size=32, patch_size=8, embed_dims=32, num_layers=2, num_heads=2, mlp_ratio=2)
    backbone = dict(type='mmseg.VisionTransformer', **kwargs)
    path = write(tmp_path / 'a.pth', backbone)
    stopped(train, tmp_path, Model(dict(backbone, init_cfg=pretrained(path))), 'ignored')
    torch.save(dict(model=torch.load(write(path, rename=lambda key: key))['state_dict']), path)
    stopped(train, tmp_path, Model(vit(init_cfg=pretrained(path, prefix=None))), 'elsewhere', work_dir='run2')


@pytest.mark.parametrize('named', [False, True])
def test_resumed_run_is_not_checked_and_keeps_its_report(train, tmp_path, good, named):
    _, report = train(Model(vit(init_cfg=pretrained(good))))
    os.utime(tmp_path / 'run' / 'transfer.json', (1, 1))
    load_from = str(tmp_path / 'run' / 'epoch_1.pth') if named else None
    if named:
        (tmp_path / 'run' / 'last_checkpoint').unlink()
    model, again = train(Model(vit(init_cfg=pretrained(good))), epochs=2, resume=True, load_from=load_from)
    assert model.steps == 2 and train.runner.iter == 4
    assert again == report and (tmp_path / 'run' / 'transfer.json').stat().st_mtime == 1


def test_auto_resume_that_finds_nothing_is_a_start(train, tmp_path, good):
    stopped(train, tmp_path, Model(vit()), 'none', resume=True)


def test_test_time_needs_no_checkpoint(train, tmp_path, good):
    train(Model(vit(init_cfg=pretrained(good))))
    good.unlink()
    runner = train.runner
    runner.call_hook('before_run')  # a test after training
    runner._train_loop = dict(by_epoch=True, max_epochs=1)  # a test without training
    runner.call_hook('before_run')


def test_wrapped_model_is_unwrapped(train, tmp_path, good):
    torch.distributed.init_process_group('gloo', f'file://{tmp_path}/store', rank=0, world_size=1)
    try:
        model = MMDistributedDataParallel(Model(vit(init_cfg=pretrained(good))))
        _, report = train(model)
    finally:
        torch.distributed.destroy_process_group()
    assert report['complete'] and model.module.steps == 2


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_values_that_are_not_finite_are_named(train, tmp_path, good, value):
    content = torch.load(good)
    content['state_dict']['backbone.layers.1.ln1.bias'][3] = value
    torch.save(content, good)
    with pytest.raises(RuntimeError, match=r'has values that are not finite in backbone\.layers\.1\.ln1\.bias\.$'):
        train(Model(vit(init_cfg=pretrained(good))))
