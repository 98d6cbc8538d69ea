"""The process of a stage: its config, resuming, and two ranks."""

import contextlib
import copy
import gc
import json
import os
import subprocess
import sys
import weakref

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmpretrain.registry import MODELS
from mmpretrain.utils import register_all_modules

from mixpro_mm.datasets.digit_scenes import write_digit_scenes
from mixpro_mm.study import checkpoints, configs, stage
from mixpro_mm.study.plan import Stage
from tests.config_rows import CONFIGS


def write(folder, **settings):
    (folder / 'a.py').write_text('\n'.join(f'{key} = {value!r}' for key, value in settings.items()))
    return str(folder / 'a.py')


def test_the_fingerprint_ignores_launcher_and_logging(tmp_path):
    path = write(tmp_path, model=dict(backbone={}), lr=1, randomness=dict(seed=None, deterministic=True))
    plain = configs.fingerprint(configs.stage_config(path, tmp_path, 0, None), None)
    launched = configs.stage_config(path, tmp_path / 'other', 0, None)
    launched.launcher, launched.resume, launched.load_from, launched.log_level = 'slurm', True, 'x.pth', 'WARNING'
    launched.default_hooks = dict(logger=dict(interval=7), visualization=dict(draw=True))
    assert launched.randomness == dict(seed=0, deterministic=True)
    assert configs.fingerprint(launched, None) == plain
    for changes in (dict(lr=2), dict(default_hooks=dict(other=dict(type='H')))):
        assert configs.fingerprint(Config(launched.to_dict() | changes), None) != plain


def test_options_are_merged(tmp_path):
    path = write(tmp_path, model=dict(backbone={}), hooks=[dict(type='A', n=1), dict(type='B')], optimizer=dict(lr=1))
    options = {'hooks.0.n': 3, 'optimizer': dict(_delete_=True, type='C'), 'new.key': 'x'}
    given = copy.deepcopy(options)
    merged = configs.stage_config(path, tmp_path, 0, None, options)
    assert options == given
    assert [hook.to_dict() for hook in merged.hooks] == [dict(type='A', n=3), dict(type='B')]
    assert merged.optimizer.to_dict() == dict(type='C') and merged.new.key == 'x'
    assert configs.cached_config(path, options).hooks[0].n == 3 and configs.cached_config(path).hooks[0].n == 1
    with pytest.raises(ValueError, match=r'a\.py: cfg_options .*hooks\.7'):
        configs.stage_config(path, tmp_path, 0, None, {'hooks.7.n': 3})


def test_models_are_freed_and_test_time_augmentation_is_configured(tmp_path, monkeypatch):
    """A checkpoint hook other than mmengine's is kept."""
    hook, loader = dict(type='Other'), dict(batch_size=4, dataset=dict(pipeline=['one'], data_root='d'))
    settings = dict(test_dataloader=loader, train_dataloader=loader, test_evaluator={}, test_cfg={})
    settings |= dict(model=dict(type='Net'), tta_model=dict(type='T'), tta_pipeline=['many'])
    path = write(tmp_path, default_hooks=dict(checkpoint=hook), **settings)
    trained, emptied, built = [], [], []

    class Runner:
        """Runner and hook refer to each other."""

        def __init__(self, config):
            assert config.default_hooks.checkpoint == hook
            assert not built or (trained[0]() is None and emptied)
            built.append(config)

        def register_hook(self, hook):
            self.hook, self.me = hook, self

        def train(self):
            trained.append(weakref.ref(self))
            torch.save(dict(state_dict=dict(weight=torch.zeros(1))), tmp_path / 'w' / 'iter_1.pth')

        def test(self):
            return dict(metric=1.0)

    monkeypatch.setattr(stage.Runner, 'from_cfg', Runner)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'empty_cache', lambda: emptied.append(True))
    gc.disable()  # automatic collection would hide the fault
    try:
        assert stage.main([path, '--work-dir', str(tmp_path / 'w'), '--tta']) == 0
    finally:
        gc.enable()
    done = json.loads((tmp_path / 'w' / 'done.json').read_text())
    assert done['metrics'] == {'metric': 1.0, 'metric (MS)': 1.0} and done['tta'] is True
    _, plain, augmented = built
    assert plain.model == dict(type='Net') and augmented.model == dict(type='T', module=dict(type='Net'))
    assert plain.test_dataloader == loader
    assert augmented.test_dataloader == dict(loader, dataset=dict(pipeline=['many'], data_root='d'))


class Interrupt(Hook):
    """Interrupts a training at its second epoch."""

    def before_train_epoch(self, runner):
        if runner.epoch == 1:
            raise KeyboardInterrupt


def test_an_interrupted_stage_resumes_with_the_same_total_batch(tmp_path, monkeypatch):
    """After 2 GPUs x 2 images, interrupted at epoch 2, 1 x 8 is refused and 1 x 4 resumes after epoch 1."""
    check = dict(type='mixpro_mm.CheckpointCheckHook', allow='model.head.*')
    path = write(
        tmp_path,
        _base_=str(CONFIGS / 'digits' / 'deit-micro_mixpro_digits.py'),
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
        assert config.default_hooks.checkpoint.type == 'mixpro_mm.AtomicCheckpointHook'
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
tta_model = dict(type='SegTTAModel')
scales = [dict(type='Resize', scale=(size, size), keep_ratio=True) for size in (48, 64)]
steps = [scales, [dict(type='LoadAnnotations')], [dict(type='PackSegInputs')]]
tta_pipeline = [dict(type='LoadImageFromFile'), dict(type='TestTimeAug', transforms=steps)]
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
    """With torchrun: half the batch each, different seeds, one writer."""
    data = write_digit_scenes(tmp_path / 'scenes', num_train=4, num_val=2) / 'VOCdevkit' / 'VOC2010'
    base = CONFIGS / 'digits' / 'segmenter_deit-micro_scratch_digit-scenes.py'
    (tmp_path / 'seg.py').write_text(CONFIG.format(base=base, data=data))
    (tmp_path / 'rank.py').write_text(RANK)
    run = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', '2', 'rank.py', 'seg.py']
    run += ['--work-dir', 'w', '--launcher', 'pytorch', '--batch-size', '2', '--tta', '--seed', '5']
    finished = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, timeout=400)
    assert finished.returncode == 0, finished.stderr[-3000:]
    ranks = [json.loads((tmp_path / f'rank{rank}.json').read_text()) for rank in range(2)]
    assert ranks == [[0, 5], [0, 6]]  # diff_rank_seed
    done = json.loads((tmp_path / 'w' / 'done.json').read_text())
    assert (done['gpus'], done['batch_size']) == (2, 2) and {'mIoU', 'mIoU (MS)'} < set(done['metrics'])
    assert len(list((tmp_path / 'w').glob('2*'))) == 1  # both ranks log in one folder


COMPLETE = dict(state_dict=dict(w=torch.zeros(2)), meta=dict(epoch=1, iter=1), message_hub={}, optimizer=dict(state={}))
WEIGHTS = {key: value for key, value in COMPLETE.items() if key != 'optimizer'}
NEEDED = ['meta', 'message_hub', 'optimizer']


def save(folder, **contents):
    """Save checkpoints, the newest last, and return their paths."""
    for number, (name, content) in enumerate(contents.items()):
        torch.save(content, folder / f'{name}.pth')
        os.utime(folder / f'{name}.pth', (number, number))
    return {name: str(folder / f'{name}.pth') for name in contents}


def test_the_checkpoint_to_resume_from(tmp_path, capsys):
    """The one that mmengine noted, even if the folder was moved, or the newest with an optimizer."""
    paths = save(tmp_path, epoch_2=COMPLETE, epoch_1=COMPLETE, iter_9=WEIGHTS, best_accuracy_top1_epoch_1=COMPLETE)
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


def test_best_checkpoints_are_tested_but_not_resumed(tmp_path, capsys):
    assert checkpoints.last_checkpoint(tmp_path, NEEDED) is checkpoints.best_checkpoint(tmp_path) is None
    assert capsys.readouterr().out == ''
    paths = save(tmp_path, best_b_epoch_1=WEIGHTS, best_a_epoch_2=WEIGHTS)
    assert checkpoints.last_checkpoint(tmp_path) is checkpoints.last_checkpoint(tmp_path, NEEDED) is None
    assert capsys.readouterr().out.count('starts from the beginning') == 1
    assert checkpoints.best_checkpoint(tmp_path) == paths['best_a_epoch_2']


TIMM = dict(type='TimmClassifier', model_name='vit_tiny_patch16_224', img_size=32, embed_dim=24, depth=1, num_heads=3)


def test_a_timm_classifier_starts_from_another(tmp_path, capsys):
    """The head is not loaded if the number of classes differs."""
    register_all_modules()
    parent = MODELS.build(dict(TIMM, num_classes=3))
    torch.save(dict(state_dict=parent.state_dict(), meta={}), tmp_path / 'parent.pth')
    path = write(tmp_path, model=dict(TIMM, num_classes=5))
    child_config = configs.stage_config(path, tmp_path, 0, str(tmp_path / 'parent.pth'))
    assert configs.settings_of(child_config, 'hash')['model']['init_cfg'] == dict(type='Pretrained', checkpoint='hash')
    child = MODELS.build(child_config.model)
    child.init_weights()
    for name, tensor in parent.state_dict().items():
        assert name.startswith('head.') or torch.equal(child.state_dict()[name], tensor), name
    checkpoints.check_match(child, str(tmp_path / 'parent.pth'))
    assert "['head.weight', 'head.bias']" in capsys.readouterr().out
    other = MODELS.build(dict(type='TimmClassifier', model_name='resnet10t'))
    with pytest.raises(RuntimeError, match=r'parent\.pth has none of the \d+ tensors of TimmClassifier'):
        checkpoints.check_match(other, str(tmp_path / 'parent.pth'))


@pytest.mark.parametrize(
    ('child', 'parent', 'words'),
    [
        (dict(backbone={}), TIMM, r"stage s cannot start from .*parent\.py: .* prefix '', .*a\.py 'backbone"),
        (TIMM, dict(type='CLIP'), r'stage s, which starts from p: model CLIP has no backbone; .* TimmClassifier'),
        (dict(TIMM, type='mmpretrain.TimmClassifier'), TIMM, None),
    ],
)
def test_models_must_have_the_same_tensor_names(tmp_path, child, parent, words):
    (tmp_path / 'parent.py').write_text(f'model = {parent!r}')
    path = write(tmp_path, model=child)
    with pytest.raises(ValueError, match=words) if words else contextlib.nullcontext():
        configs.check_start(Stage(name='s', config=path), Stage(name='p', config=str(tmp_path / 'parent.py')))
