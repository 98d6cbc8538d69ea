"""NonFiniteLossHook at a NaN loss."""

import re
import shutil

import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.registry import HOOKS, OPTIM_WRAPPERS, TRANSFORMS
from mmengine.runner import Runner
from PIL import Image
from torch import distributed
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard

from mixpro_mm.hooks import NonFiniteLossError, loss

LABELING = dict(type='mixpro_mm.LabelingHook')


@TRANSFORMS.register_module(force=True)
class Poison(BaseTransform):
    """Set a pixel of one image to NaN."""

    def transform(self, results):
        results['img'] = results['img'].astype(np.float32)
        if results['img_path'].endswith('bad.png'):
            results['img'][3, 5] = np.nan
        return results


@HOOKS.register_module(force=True)
class Watch(Hook):
    """Record the weights at the start of each iteration."""

    priority = 'HIGHEST'
    seen = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.seen.append({name: value.clone() for name, value in runner.model.named_parameters()})


@pytest.fixture
def run(tiny, tmp_path):
    """Train on twelve images, one of them NaN; return the error and the Runner."""
    rng = np.random.default_rng(0)
    for number in range(12):
        folder = tmp_path / 'data' / str(number % 3)
        folder.mkdir(parents=True, exist_ok=True)
        name = 'bad.png' if number == 7 else f'{number}.png'
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / name)

    def train(ends=True, **changes):
        config = tiny(tmp_path / 'work', **{'model.head.num_classes': 3, 'model.data_preprocessor.num_classes': 3})
        config.data_preprocessor.num_classes = 3
        config.experiment_name = tmp_path.name  # mmengine reuses the visualizer of a run in the same second
        config.train_dataloader.dataset = dict(
            type='CustomDataset',
            data_root=str(tmp_path / 'data'),
            pipeline=[dict(type='LoadImageFromFile'), dict(type='Poison'), dict(type='PackInputs')],
        )
        config.train_dataloader.sampler.shuffle = False
        for key in ('val_dataloader', 'val_evaluator', 'val_cfg', 'test_dataloader', 'test_evaluator', 'test_cfg'):
            config.pop(key)
        config.custom_hooks = [LABELING, dict(type='Watch')]
        config.merge_from_dict(changes)
        Watch.seen.clear()
        runner = Runner.from_cfg(config)
        if not ends:
            return runner.train(), runner
        with pytest.raises(NonFiniteLossError) as error:
            runner.train()
        assert 'parse_losses' not in vars(runner.model)
        return str(error.value), runner

    return train


def test_the_step_is_not_taken_and_the_batch_is_saved(run, tmp_path):
    message, runner = run()
    file = tmp_path / 'work' / 'nonfinite_loss_iter_2.pth'
    kept = torch.load(file, weights_only=True)
    samples = kept['batch']['data_samples']
    paths = [sample['img_path'] for sample in samples]
    assert message.startswith('NonFiniteLossHook: loss is nan at iteration 2 of the run, in epoch 1; the step was not')
    assert message.endswith(f' is in {file}, the last checkpoint is not written yet.')
    assert sum(path.endswith('bad.png') for path in paths) == 1 and len(paths) == 4
    assert (kept['iter'], kept['epoch'], kept['spoiled']) == (2, 1, [])
    assert kept['losses'].keys() == {'loss'} and kept['losses']['loss'].isnan()
    # the weights are those before the iteration, after one step
    weights = dict(runner.model.named_parameters())
    changed = [any(not torch.equal(weights[name], old[name]) for name in old) for old in Watch.seen]
    assert changed == [True, False]
    for image, path in zip(kept['batch']['inputs'], paths, strict=True):
        assert image.isnan().any() == path.endswith('bad.png')
        good = torch.from_numpy(np.array(Image.open(path).convert('RGB'))[..., ::-1].copy()).permute(2, 0, 1).float()
        assert torch.equal(image[~image.isnan()], good[~image.isnan()])
    assert [sample['gt_label'].item() for sample in samples] == [int(path.split('/')[-2]) for path in paths]


def test_weights_that_were_not_finite_before_and_a_batch_that_cannot_be_written_are_named(run, tmp_path):
    """The work dir is removed during training."""

    @HOOKS.register_module(force=True)
    class Spoil(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            if runner.iter == 1:
                runner.model.backbone.cls_token.data.fill_(torch.inf)
                shutil.rmtree(runner.work_dir)

    message, _ = run(custom_hooks=[LABELING, dict(type='Spoil')])
    file = tmp_path / 'work' / 'nonfinite_loss_iter_2.pth'
    assert re.search(r'; 1 \w+ .*not finite, first backbone\.cls_token; the step was not taken; its batch', message)
    assert f'could not be written to {file} (' in message


@pytest.fixture
def late(monkeypatch):
    """Simulate an accelerator, where the loss is read after the step."""
    monkeypatch.setattr(loss, 'AT_ONCE', ())


def test_the_first_of_several_losses_in_a_step_counts(run, tmp_path, late):
    """A GAN parses several losses in a step; file and message keep all of them."""

    @HOOKS.register_module(force=True)
    class Second(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            runner.model.parse_losses(dict(other_loss=torch.tensor(1.0)))

        priority = 'VERY_HIGH'

    message, _ = run(custom_hooks=[LABELING, dict(type='Second')])
    assert message.startswith('NonFiniteLossHook: loss is nan at iteration 2')


def test_values_of_numpy_are_saved_as_plain_values():
    assert loss._plain([np.str_('a'), np.float32(1), np.bool_(True)]) == ['a', 1.0, True]
    assert type(loss._plain(np.str_('a'))) is str


def test_on_an_accelerator_the_step_is_taken_and_its_own_batch_is_saved(run, tmp_path, late):
    message, _ = run()
    kept = torch.load(tmp_path / 'work' / 'nonfinite_loss_iter_2.pth', weights_only=True)
    assert re.search(
        r'at iteration 2 of the run, in epoch 1; \d+ \w+ .*not finite, first backbone\.\S+; the step was taken '
        r'before its loss was read; its batch ',
        message,
    )
    assert kept['iter'] == 2 and kept['spoiled'] and kept['losses']['loss'].isnan()
    assert sum(image.isnan().any() for image in kept['batch']['inputs']) == 1


@pytest.mark.parametrize('late', [False, True], indirect=True)
def test_steps_that_overflow_are_left_to_the_scaler(run, tmp_path, monkeypatch, late):
    """One NaN per epoch is skipped with a warning; three NaN in a row stop the run."""

    @OPTIM_WRAPPERS.register_module(force=True)
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

    logged = []
    monkeypatch.setattr(loss, 'IN_A_ROW', 3)
    monkeypatch.setattr(loss, 'print_log', lambda message, *_: logged.append(message))
    settings = {'optim_wrapper.type': 'Scaled', 'train_cfg.max_epochs': 2}
    _, runner = run(ends=False, **settings)
    assert [re.search(r'loss is nan at iteration (\d) of', text)[1] for text in logged] == ['2', '5']
    assert all(value.isfinite().all() for value in runner.model.state_dict().values())
    assert not list((tmp_path / 'work').glob('nonfinite*'))

    monkeypatch.setattr(Poison, 'transform', lambda self, results: dict(results, img=results['img'] * np.nan))
    message, _ = run(**settings)
    assert 'loss is nan at iteration 3 of the run' in message
    assert 'the step was skipped by GradScaler, as the 2 before it; its batch' in message


@pytest.mark.parametrize('full', [True, False])
def test_local_shards_are_checked_without_gathering(monkeypatch, full):
    """fully_shard and FSDP with flat parameters, in a group of one."""
    distributed.init_process_group('gloo', store=distributed.HashStore(), rank=0, world_size=1)
    try:
        model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 2))
        model[1].weight.data[0, 1] = torch.nan
        if full:
            fully_shard(model, mesh=distributed.init_device_mesh('cpu', (1,)))
        else:
            FullyShardedDataParallel(model, device_id=torch.device('cpu'))
        monkeypatch.setattr(torch.nn.Module, 'state_dict', lambda *args, **kwargs: pytest.fail('gathers'))
        assert loss._spoiled(model) == ['1.weight' if full else '_flat_param']
    finally:
        distributed.destroy_process_group()
