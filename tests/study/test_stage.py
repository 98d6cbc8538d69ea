"""The process of a stage: its config, resuming, and two ranks."""

import contextlib
import copy
import gc
import json
import os
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmpretrain.registry import MODELS
from mmpretrain.utils import register_all_modules

from mixpro_mm.datasets.digit_scenes import write_digit_scenes
from mixpro_mm.study import checkpoints, configs, stage
from mixpro_mm.study.evaluate import tta_config
from mixpro_mm.study.plan import Stage

DIGITS = Path(__file__).parents[2] / 'configs' / 'digits'


@pytest.fixture
def config(tmp_path):
    def write(**settings):
        lines = [f'{key} = {value!r}' for key, value in settings.items()]
        (tmp_path / 'a.py').write_text('\n'.join(lines))
        return str(tmp_path / 'a.py')

    return write


@pytest.mark.parametrize(
    ('own', 'kept'),
    [
        (dict(seed=1, diff_rank_seed=True), dict(seed=9, diff_rank_seed=True)),
        (dict(seed=None, deterministic=True, diff_rank_seed=False), dict(seed=9, deterministic=True)),
        ({}, dict(seed=9)),
    ],
)
def test_the_seed_replaces_that_of_the_config(config, own, kept, tmp_path):
    path = config(model={}, randomness=own)
    assert configs.stage_config(path, tmp_path, 9, None).randomness == kept


def test_the_fingerprint_ignores_launcher_and_logging(config, tmp_path):
    path = config(model=dict(backbone={}), lr=1)
    plain = configs.fingerprint(configs.stage_config(path, tmp_path, 0, None), None)
    launched = configs.stage_config(path, tmp_path / 'other', 0, None)
    launched.launcher, launched.resume, launched.load_from = 'slurm', True, 'x.pth'
    launched.visualizer, launched.log_level = dict(type='V', vis_backends=[dict(type='L')]), 'WARNING'
    launched.default_hooks = dict(logger=dict(interval=7), visualization=dict(draw=True))
    assert configs.fingerprint(launched, None) == plain
    launched.default_hooks.other = dict(type='H')
    assert configs.fingerprint(launched, None) != plain
    launched.pop('default_hooks')
    launched.lr = 2
    assert configs.fingerprint(launched, None) != plain


def test_options_are_merged_and_change_the_fingerprint(config, tmp_path):
    path = config(model=dict(backbone={}), hooks=[dict(type='A', n=1), dict(type='B')], optimizer=dict(lr=1))
    options = {'hooks.0.n': 3, 'optimizer': dict(_delete_=True, type='C'), 'new.key': 'x'}
    given = copy.deepcopy(options)
    plain, merged = (configs.stage_config(path, tmp_path, 0, None, each) for each in (None, options))
    assert options == given
    assert [hook.to_dict() for hook in merged.hooks] == [dict(type='A', n=3), dict(type='B')]
    assert merged.optimizer.to_dict() == dict(type='C') and merged.new.key == 'x'
    assert configs.fingerprint(plain, None) != configs.fingerprint(merged, None)
    assert configs.cached_config(path, options).hooks[0].n == 3 and configs.cached_config(path).hooks[0].n == 1
    with pytest.raises(ValueError, match=r'a\.py: cfg_options .*hooks\.7'):
        configs.stage_config(path, tmp_path, 0, None, {'hooks.7.n': 3})


@pytest.mark.parametrize(
    ('lacks', 'options'), [(('test_dataloader', 'test_evaluator'), []), (('tta_pipeline',), ['--tta'])]
)
def test_a_config_without_its_tests_stops_before_training(config, tmp_path, lacks, options):
    keys = ('test_cfg', 'test_dataloader', 'test_evaluator', 'tta_model', 'tta_pipeline')
    path = config(model={}, **{key: None if key in lacks else {} for key in keys})
    with pytest.raises(ValueError, match=rf'a\.py has no {" and no ".join(lacks)}'):
        stage.main([path, '--work-dir', str(tmp_path / 'w'), *options])
    assert not list((tmp_path / 'w').iterdir())


def test_the_config_with_test_time_augmentation():
    settings = dict(
        model=dict(type='Net'), tta_model=dict(type='TTA'), tta_pipeline=['many'], work_dir='w',
        test_dataloader=dict(dataset=dict(pipeline=['one'], data_root='d')),
    )  # fmt: skip
    config = Config(settings)
    augmented = tta_config(config)
    assert augmented.model == dict(type='TTA', module=dict(type='Net'))
    assert augmented.test_dataloader == dict(dataset=dict(pipeline=['many'], data_root='d'))
    assert config.to_dict() == Config(settings).to_dict()


def test_models_are_freed_before_the_next_is_built(config, tmp_path, monkeypatch):
    tests = {key: {} for key in ('test_dataloader', 'test_evaluator', 'test_cfg')}
    path = config(model={}, tta_model={}, tta_pipeline=[], train_dataloader=dict(batch_size=4), **tests)
    first, emptied = [], []

    class Runner:
        """Runner and hook refer to each other."""

        def register_hook(self, hook):
            self.hook, self.me = hook, self

        def train(self):
            first.append(weakref.ref(self))
            torch.save(dict(state_dict=dict(weight=torch.zeros(1))), tmp_path / 'w' / 'iter_1.pth')

    def test(_, checkpoint):
        assert first[0]() is None and emptied
        return {f'metric {len(emptied)}': 1.0}

    monkeypatch.setattr(stage.Runner, 'from_cfg', lambda config: Runner())
    monkeypatch.setattr(stage, 'test_checkpoint', test)
    monkeypatch.setattr(stage, 'test_with_tta', test)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'empty_cache', lambda: emptied.append(True))
    gc.disable()  # automatic collection would hide the fault
    try:
        assert stage.main([path, '--work-dir', str(tmp_path / 'w'), '--tta']) == 0
    finally:
        gc.enable()
    done = json.loads((tmp_path / 'w' / 'done.json').read_text())
    assert done['metrics'] == {'metric 1': 1.0, 'metric 2': 1.0} and done['tta'] is True


@pytest.mark.parametrize(
    'hooks',
    [
        {},
        dict(default_hooks=None),
        dict(default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=3), logger=dict(type='LoggerHook'))),
        dict(default_hooks=dict(checkpoint=None)),
        dict(default_hooks=dict(checkpoint=dict(type='Other'))),
    ],
)
def test_the_checkpoint_hook_is_replaced(hooks):
    config = Config(hooks)
    stage._use_atomic_checkpoints(config)
    before = hooks.get('default_hooks') or {}
    hook = before.get('checkpoint', dict(interval=1))
    if hook is not None and hook.get('type') != 'Other':
        hook = dict(hook, type='mixpro_mm.AtomicCheckpointHook')
    assert config.default_hooks.to_dict() == before | dict(checkpoint=hook)


def test_checkpoint_checks_allow_another_batch_size():
    check = dict(type='mixpro_mm.CheckpointCheckHook')
    config = Config(dict(default_hooks=dict(a=check, b=None, c=dict(type='LoggerHook')), custom_hooks=[dict(check)]))
    config.custom_hooks[0].allow = ['optim_wrapper.*']
    stage._allow_on_resume(config, 'x.y')
    assert config.default_hooks.to_dict() == dict(a=check | dict(allow=['x.y']), b=None, c=dict(type='LoggerHook'))
    assert config.to_dict()['custom_hooks'] == [check | dict(allow=['optim_wrapper.*', 'x.y'])]
    stage._allow_on_resume(config := Config(dict(default_hooks=None)), 'x.y')
    assert config.to_dict() == dict(default_hooks=None)


class Interrupt(Hook):
    """Interrupts a training at its second epoch."""

    def before_train_epoch(self, runner):
        if runner.epoch == 1:
            raise KeyboardInterrupt


def test_an_interrupted_stage_resumes_with_the_same_total_batch(config, tmp_path, monkeypatch):
    """After 2 GPUs x 2 images, interrupted at epoch 2, 1 x 8 is refused and 1 x 4 resumes after epoch 1."""
    check = dict(type='mixpro_mm.CheckpointCheckHook', allow='model.head.*')
    path = config(
        _base_=str(DIGITS / 'deit-micro_mixpro_digits.py'),
        train_dataloader=dict(batch_size=2, dataset=dict(indices=4)),
        val_dataloader=dict(dataset=dict(indices=2)),
        test_dataloader=dict(dataset=dict(indices=2)),
        train_cfg=dict(max_epochs=2, val_interval=1),
        optim_wrapper=dict(accumulative_counts=3),
        default_hooks=dict(checkpoint=dict(interval=1, save_best='auto'), check=check),
        param_scheduler=[],
        log_level='ERROR',
    )
    build, resumed, work = stage.Runner.from_cfg, [], tmp_path / 'w'

    def build_interrupted(config):
        assert config.default_hooks.check.allow == ['model.head.*', 'train_dataloader.batch_size']
        runner = build(config)
        runner.register_hook(Interrupt())
        return runner

    def run(gpus, batch):
        monkeypatch.setattr(stage, 'get_world_size', lambda: gpus)
        return stage.main([path, '--work-dir', str(work), '--batch-size', batch])

    monkeypatch.setattr(stage.Runner, 'from_cfg', build_interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(2, '2')
    os.utime(max(work.glob('best_*.pth')), (2**32, 2**32))  # the newest file
    monkeypatch.setattr(stage.Runner, 'from_cfg', lambda config: resumed.append(config.load_from) or build(config))
    with pytest.raises(RuntimeError, match=r'train_dataloader\.batch_size was 2 and is 8'):
        run(1, '8')
    assert run(1, '4') == 0
    assert resumed[:2] == [str(work / 'epoch_1.pth')] * 2
    done = json.loads((work / 'done.json').read_text())
    assert (done['gpus'], done['batch_size'], done['accumulated']) == (1, 4, 3)
    assert json.loads((work / 'stage.json').read_text())['images_a_step'] == 12
    assert done['checkpoint'] == str(work / 'epoch_2.pth')
    assert torch.load(done['checkpoint'], weights_only=False)['meta']['iter'] == 3  # 2 in epoch 1, then 1


# with gloo, MMDistributedDataParallel needs no GPU
CONFIG = """
_base_ = '{base}'
train_dataloader = dict(batch_size=4, dataset=dict(data_root='{data}'))
val_dataloader = dict(dataset=dict(data_root='{data}'))
test_dataloader = val_dataloader
train_cfg = dict(max_iters=2)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=1))
randomness = dict(seed=None, diff_rank_seed=True)
model_wrapper_cfg = dict(type='MMDistributedDataParallel', device_ids=None)
"""
RANK = """
import json, os, sys, torch
torch.distributed.init_process_group('gloo')
from mixpro_mm.study import configs, stage
code = stage.main()
json.dump([code, torch.initial_seed()], open(f'rank{os.environ["RANK"]}.json', 'w'))
"""


@pytest.mark.long
def test_two_ranks_train_one_model(tmp_path):
    """With torchrun: half the batch each, different seeds, one writer; both refuse the folder of another stage."""
    data = write_digit_scenes(tmp_path / 'scenes', num_train=4, num_val=2) / 'VOCdevkit' / 'VOC2010'
    base = DIGITS / 'segmenter_deit-micro_scratch_digit-scenes.py'
    (tmp_path / 'seg.py').write_text(CONFIG.format(base=base, data=data))
    (tmp_path / 'rank.py').write_text(RANK)
    run = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', '2', 'rank.py']
    arguments = ['seg.py', '--work-dir', 'w', '--launcher', 'pytorch', '--batch-size', '2', '--seed']

    def ranks(seed):
        finished = subprocess.run([*run, *arguments, seed], cwd=tmp_path, capture_output=True, text=True, timeout=400)
        assert finished.returncode == 0, finished.stderr[-3000:]
        return [json.loads((tmp_path / f'rank{rank}.json').read_text()) for rank in range(2)], finished

    (first, second), _ = ranks('5')
    assert (first[0], second[0]) == (0, 0)
    assert (first[1], second[1]) == (5, 6)  # diff_rank_seed
    done = json.loads((tmp_path / 'w' / 'done.json').read_text())
    assert (done['gpus'], done['batch_size']) == (2, 2)
    assert json.loads((tmp_path / 'w' / 'progress.json').read_text())['total'] == 2
    assert len(list((tmp_path / 'w').glob('2*'))) == 1  # both ranks log in one folder

    before = (tmp_path / 'w' / 'done.json').read_bytes()
    (first, second), refused = ranks('6')
    assert (first[0], second[0]) == (2, 2)
    assert refused.stderr.count('holds a stage of another config, seed or checkpoint') == 1
    assert (tmp_path / 'w' / 'done.json').read_bytes() == before


COMPLETE = dict(state_dict=dict(w=torch.zeros(2)), meta=dict(epoch=1, iter=1), message_hub={}, optimizer=dict(state={}))
WEIGHTS = {key: value for key, value in COMPLETE.items() if key != 'optimizer'}
NEEDED = ['meta', 'message_hub', 'optimizer']


@pytest.fixture
def save(tmp_path):
    """Save checkpoints, the newest last, and return their paths."""

    def save(**contents):
        for number, (name, content) in enumerate(contents.items()):
            path = tmp_path / f'{name}.pth'
            torch.save(content, path)
            os.utime(path, (number, number))
        return {name: str(tmp_path / f'{name}.pth') for name in contents}

    return save


def test_the_checkpoint_to_resume_from(save, tmp_path, capsys):
    """The one that mmengine noted, even if the folder was moved, or the newest with an optimizer."""
    paths = save(epoch_2=COMPLETE, epoch_1=COMPLETE, iter_9=WEIGHTS, best_accuracy_top1_epoch_1=COMPLETE)
    assert checkpoints.last_checkpoint(tmp_path, NEEDED) == paths['epoch_1']
    assert f'{paths["iter_9"]} has no optimizer' in capsys.readouterr().out
    note = tmp_path / 'last_checkpoint'
    note.write_text('/moved/since/epoch_2.pth')
    assert checkpoints.last_checkpoint(tmp_path, NEEDED) == paths['epoch_2']
    elsewhere = tmp_path / 'elsewhere' / 'epoch_7.pth'  # out_dir of the hook
    elsewhere.parent.mkdir()
    torch.save(COMPLETE, elsewhere)
    note.write_text(f'{elsewhere}\n')
    assert checkpoints.last_checkpoint(tmp_path, NEEDED) == str(elsewhere)
    elsewhere.write_bytes(elsewhere.read_bytes()[:100])
    assert checkpoints.last_checkpoint(tmp_path, NEEDED) == paths['epoch_1']


@pytest.mark.parametrize(
    ('contents', 'words'),
    [
        (dict(best_mIoU_iter_2=WEIGHTS), 'only best_*.pth'),
        (dict(epoch_1=WEIGHTS, best_mIoU_iter_2=WEIGHTS), 'epoch_1.pth has no optimizer'),
        ({}, ''),
    ],
)
def test_a_stage_that_cannot_resume_says_why(save, tmp_path, capsys, contents, words):
    save(**contents)
    assert checkpoints.last_checkpoint(tmp_path, NEEDED) is None
    printed = capsys.readouterr().out
    assert words in printed and bool(words) == bool(printed)


def test_the_newest_best_checkpoint_is_tested_if_no_other_exists(save, tmp_path):
    assert checkpoints.best_checkpoint(tmp_path) is None
    paths = save(best_b_epoch_1=WEIGHTS, best_a_epoch_2=WEIGHTS)
    assert checkpoints.last_checkpoint(tmp_path) is None
    assert checkpoints.best_checkpoint(tmp_path) == paths['best_a_epoch_2']


def test_schedulers_are_needed_if_the_config_has_some():
    needed = checkpoints.keys_to_resume
    assert needed(Config(dict(param_scheduler=[dict(type='X')]))) == [*NEEDED, 'param_schedulers']
    assert needed(Config(dict(param_scheduler=[]))) == needed(Config({})) == NEEDED


TIMM = dict(type='TimmClassifier', model_name='vit_tiny_patch16_224', img_size=32, embed_dim=24, depth=1, num_heads=3)


def test_a_timm_classifier_starts_from_another(config, tmp_path, capsys):
    """The head is not loaded if the number of classes differs."""
    register_all_modules()
    torch.manual_seed(0)
    parent = MODELS.build(dict(TIMM, num_classes=3))
    torch.save(dict(state_dict=parent.state_dict(), meta={}), tmp_path / 'parent.pth')
    path = config(model=dict(TIMM, num_classes=5))
    child_config = configs.stage_config(path, tmp_path, 0, str(tmp_path / 'parent.pth'))
    assert configs.settings_of(child_config, 'hash')['model']['init_cfg'] == dict(type='Pretrained', checkpoint='hash')
    child = MODELS.build(child_config.model)
    child.init_weights()
    for name, tensor in parent.state_dict().items():
        if not name.startswith('head.'):
            assert torch.equal(child.state_dict()[name], tensor), name
    assert child.state_dict()['head.weight'].shape[0] == 5
    checkpoints.check_match(child, str(tmp_path / 'parent.pth'))
    assert "['head.weight', 'head.bias']" in capsys.readouterr().out
    other = MODELS.build(dict(type='TimmClassifier', model_name='resnet10t'))
    with pytest.raises(RuntimeError, match=r'parent\.pth has none of the \d+ tensors of TimmClassifier'):
        checkpoints.check_match(other, str(tmp_path / 'parent.pth'))


@pytest.mark.parametrize(
    ('child', 'parent', 'words'),
    [
        (dict(backbone={}), TIMM, r"stage s cannot start from .*parent\.py: .* prefix '', .*a\.py 'backbone"),
        (TIMM, dict(backbone={}), r"parent\.py: .* prefix 'backbone\.', .*a\.py ''"),
        (dict(type='CLIP'), TIMM, r'stage s, which starts from p: model CLIP has no backbone, .* TimmClassifier'),
        (TIMM, dict(type='CLIP'), r'stage s, which starts from p: model CLIP has no backbone'),
        (dict(backbone={}), dict(type='X', backbone={}), None),
        (dict(TIMM, type='mmpretrain.TimmClassifier'), TIMM, None),
    ],
)
def test_models_must_have_the_same_tensor_names(config, tmp_path, child, parent, words):
    (tmp_path / 'parent.py').write_text(f'model = {parent!r}')
    path = config(model=child)
    with pytest.raises(ValueError, match=words) if words else contextlib.nullcontext():
        configs.check_start(Stage(name='s', config=path), Stage(name='p', config=str(tmp_path / 'parent.py')))
