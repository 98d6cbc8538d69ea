"""NonFiniteLossHook at a NaN loss."""

import re
import shutil

import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, TRANSFORMS
from PIL import Image

from mixpro_mm.hooks import NonFiniteLossError, loss


def entered(registry):
    def enter(cls):
        registry.register_module(module=cls, force=True)
        return cls

    return enter


@entered(TRANSFORMS)
class Poison(BaseTransform):
    """Set a pixel of one image to NaN."""

    def transform(self, results):
        results['img'] = results['img'].astype(np.float32)
        if results['img_path'].endswith('bad.png'):
            results['img'][3, 5] = np.nan
        return results


@entered(HOOKS)
class Watch(Hook):
    """Record the weights at the start of each iteration."""

    priority = 'HIGHEST'
    seen = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.seen.append({name: value.clone() for name, value in runner.model.named_parameters()})


@pytest.fixture
def run(tiny, tmp_path):
    """Train on twelve images, one of them NaN; return the error and the Runner."""
    from mmengine.runner import Runner

    rng = np.random.default_rng(0)
    for number in range(12):
        folder = tmp_path / 'data' / str(number % 3)
        folder.mkdir(parents=True, exist_ok=True)
        name = 'bad.png' if number == 7 else f'{number}.png'
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / name)

    def train(ends=True, **changes):
        config = tiny(tmp_path / 'work', **{'model.head.num_classes': 3, 'model.data_preprocessor.num_classes': 3})
        config.data_preprocessor.num_classes = 3
        config.train_dataloader.dataset = dict(
            type='CustomDataset',
            data_root=str(tmp_path / 'data'),
            pipeline=[dict(type='LoadImageFromFile'), dict(type='Poison'), dict(type='PackInputs')],
        )
        config.train_dataloader.sampler.shuffle = False
        for key in ('val_dataloader', 'val_evaluator', 'val_cfg', 'test_dataloader', 'test_evaluator', 'test_cfg'):
            config.pop(key)
        config.custom_hooks.append(dict(type='Watch'))
        config.merge_from_dict(changes)
        Watch.seen.clear()
        runner = Runner.from_cfg(config)
        if not ends:
            return runner.train(), runner
        with pytest.raises(NonFiniteLossError) as error:
            runner.train()
        return str(error.value), runner

    return train


def test_the_step_is_not_taken_and_the_batch_is_kept(run, tmp_path):
    said, runner = run()
    file = tmp_path / 'work' / 'nonfinite_loss_iter_2.pth'
    kept = torch.load(file, weights_only=True)
    paths = [sample['img_path'] for sample in kept['batch']['data_samples']]
    assert re.fullmatch(
        r'NonFiniteLossHook: loss is nan at iteration 2 of the run, in epoch 1; the step was not taken; its batch '
        rf'is in {file}, the last checkpoint is not written yet\.',
        said,
    )
    assert sum(path.endswith('bad.png') for path in paths) == 1 and len(paths) == 4
    assert (kept['iter'], kept['epoch'], kept['spoiled']) == (2, 1, [])
    assert kept['losses'].keys() == {'loss'} and kept['losses']['loss'].isnan()
    # the weights are those before the iteration, after one step
    weights = dict(runner.model.named_parameters())
    assert len(Watch.seen) == 2
    assert all(torch.equal(weights[name], value) for name, value in Watch.seen[1].items())
    assert not all(torch.equal(weights[name], value) for name, value in Watch.seen[0].items())
    assert 'parse_losses' not in vars(runner.model)
    for image, path in zip(kept['batch']['inputs'], paths, strict=True):
        assert image.isnan().any() == path.endswith('bad.png')
        good = torch.from_numpy(np.array(Image.open(path).convert('RGB'))[..., ::-1].copy()).permute(2, 0, 1).float()
        assert torch.equal(image[~image.isnan()], good[~image.isnan()])
    assert [sample['gt_label'].item() for sample in kept['batch']['data_samples']] == [
        int(path.split('/')[-2]) for path in paths
    ]


def test_weights_that_were_spoiled_before_are_named(run):
    @entered(HOOKS)
    class Spoil(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            runner.model.backbone.cls_token.data.fill_(torch.inf)

    hooks = [dict(type='mixpro_mm.LabelingHook'), dict(type='Watch'), dict(type='Spoil')]
    said, _ = run(custom_hooks=hooks)
    assert (
        'at iteration 2 of the run, in epoch 1; 1 parameter not finite, backbone.cls_token first; the step was not '
        'taken' in said
    )


def test_a_batch_that_cannot_be_written_does_not_hide_the_loss(run, tmp_path):
    """The work dir is removed during training; the error reports both faults."""

    @entered(HOOKS)
    class Remove(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            if runner.iter == 1:
                shutil.rmtree(runner.work_dir)

    said, runner = run(custom_hooks=[dict(type='mixpro_mm.LabelingHook'), dict(type='Remove')])
    file = tmp_path / 'work' / 'nonfinite_loss_iter_2.pth'
    assert said.startswith('NonFiniteLossHook: loss is nan at iteration 2 of the run, in epoch 1; the step was')
    assert f'its batch could not be written to {file} (FileNotFoundError: ' in said
    assert 'parse_losses' not in vars(runner.model)


@pytest.fixture
def late(monkeypatch):
    """Simulate an accelerator, where the value is available later."""
    monkeypatch.setattr(loss, 'AT_ONCE', ())


def test_on_an_accelerator_the_step_is_taken_and_its_own_batch_is_kept(run, tmp_path, late):
    said, _ = run(**{'default_hooks.checkpoint': dict(type='CheckpointHook', interval=1, by_epoch=False)})
    file = tmp_path / 'work' / 'nonfinite_loss_iter_2.pth'
    assert 'loss is nan at iteration 2 of the run, in epoch 1' in said and 'taken before its loss was read' in said
    assert said.endswith(f'the last checkpoint is {tmp_path / "work" / "iter_1.pth"}.')
    file.unlink()

    said, runner = run()
    kept = torch.load(file, weights_only=True)
    assert re.search(
        r'loss is nan at iteration 2 of the run, in epoch 1; (\d+) parameters not finite, backbone\.\S+ first; '
        r'the step was taken before its loss was read; its batch is in',
        said,
    )
    assert kept['iter'] == 2 and kept['spoiled'] and kept['losses']['loss'].isnan()
    assert sum(image.isnan().any() for image in kept['batch']['inputs']) == 1
    assert len(Watch.seen) == 2 and 'parse_losses' not in vars(runner.model)


@pytest.mark.parametrize('when', [False, True])
def test_steps_that_overflow_are_left_to_the_scaler(run, tmp_path, monkeypatch, when):
    """One NaN per epoch is skipped with a warning; three NaN in a row stop the run."""
    from mmengine.optim import OptimWrapper
    from mmengine.registry import OPTIM_WRAPPERS

    @entered(OPTIM_WRAPPERS)
    class Scaled(OptimWrapper):
        """AmpOptimWrapper without a GPU."""

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.loss_scaler = torch.amp.GradScaler('cpu')

        def backward(self, loss, **kwargs):
            self.loss_scaler.scale(loss).backward()
            self._inner_count += 1

        def step(self, **kwargs):
            self.loss_scaler.step(self.optimizer)
            self.loss_scaler.update()

    said = []
    monkeypatch.setattr(loss, 'AT_ONCE', ('cpu',) if when else ())
    monkeypatch.setattr(loss, 'IN_A_ROW', 3)
    monkeypatch.setattr(loss, 'print_log', lambda message, *_: said.append(message))
    settings = {'optim_wrapper.type': 'Scaled', 'train_cfg.max_epochs': 2}
    _, runner = run(ends=False, **settings)
    assert [re.search(r'loss is nan at iteration (\d) of', text)[1] for text in said] == ['2', '5']
    assert all(value.isfinite().all() for value in runner.model.state_dict().values())
    assert not list((tmp_path / 'work').glob('nonfinite*'))

    with monkeypatch.context() as patch:
        patch.setattr(torch.amp.GradScaler, 'is_enabled', lambda scaler: False)
        error, _ = run(**settings)
    assert 'loss is nan at iteration 2 of the run' in error and 'skipped' not in error

    monkeypatch.setattr(Poison, 'transform', lambda self, results: dict(results, img=results['img'] * np.nan))
    said, _ = run(**settings)
    assert 'loss is nan at iteration 3 of the run' in said
    assert 'the step was skipped by GradScaler, as the 2 before it; its batch' in said


@pytest.mark.parametrize('flat', [True, False, None])
def test_fsdp_is_asked_for_no_state_dict(monkeypatch, flat):
    """FSDP with flat or original parameters, and fully_shard, in a group of one."""
    from torch import distributed
    from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard

    distributed.init_process_group('gloo', store=distributed.HashStore(), rank=0, world_size=1)
    try:
        model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 2))
        model[1].weight.data[0, 1] = torch.nan
        if flat is None:
            fully_shard(model, mesh=distributed.init_device_mesh('cpu', (1,)))
        else:
            FullyShardedDataParallel(model, device_id=torch.device('cpu'), use_orig_params=not flat)
        monkeypatch.setattr(torch.nn.Module, 'state_dict', lambda *args, **kwargs: pytest.fail('gathers'))
        assert loss._spoiled(model) == ['_flat_param' if flat else '1.weight']
    finally:
        distributed.destroy_process_group()
