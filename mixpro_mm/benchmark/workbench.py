"""A classifier, an optimizer and a synthetic batch that all methods share."""

import math
import time
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace

import torch
from mmengine.hooks import EMAHook, LoggerHook
from mmengine.logging import MessageHub
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.runner import set_random_seed
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mixpro_mm.benchmark.methods import METHODS, classifier_config, preprocessor_config
from mixpro_mm.hooks.labeling import LabelingHook

__all__ = ['AMP', 'CLOCKS', 'Session', 'Workbench']

AMP = {'none': None, 'bf16': 'bfloat16', 'fp16': 'float16'}
CLOCKS = {'wall': time.perf_counter, 'cpu': time.process_time}


class Workbench:
    """The model that all methods train (copies differ in speed), for the options of ``tools/benchmark.py``."""

    def __init__(self, settings: SimpleNamespace):
        torch.set_num_threads(settings.threads)
        set_random_seed(settings.seed)
        self.settings, self.device = settings, torch.device(settings.device)
        self.config = classifier_config(settings.backbone, settings.size, settings.classes)
        self.model = MODELS.build(dict(self.config.model, train_cfg=None)).to(self.device).train()
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, weight_decay=0.05)  # as in the paper
        optimizer.register_step_pre_hook(lambda *args: setattr(self, 'update_began', self.now()))
        wrapper = partial(AmpOptimWrapper, dtype=AMP[settings.amp]) if settings.amp != 'none' else OptimWrapper
        self.optim = wrapper(optimizer=optimizer)
        self.update_began, self._images = 0.0, torch.empty(0)

    def now(self) -> float:
        """Return the seconds on the clock after synchronising the device."""
        if self.device.type == 'cuda':
            torch.cuda.synchronize()
        return CLOCKS[self.settings.clock]()

    def draw(self, batch: int) -> dict:
        """Return a batch as from the data loader: the same images (B, 3, H, W) in uint8 every time, and new samples."""
        if len(self._images) != batch:
            shape = (batch, 3, self.settings.size, self.settings.size)
            self._images = torch.randint(256, shape, dtype=torch.uint8, device=self.device)
        samples = [DataSample().set_gt_label(number % self.settings.classes) for number in range(batch)]
        return dict(inputs=self._images, data_samples=samples)


class Session:
    """A method in training: its data preprocessor and its hooks, called as in mmengine's training loop.

    The hooks receive a namespace instead of a Runner. ``LabelingHook`` reads the interval of its LoggerHook.
    """

    def __init__(self, bench: Workbench, name: str):
        self.bench, self.name = bench, name
        augment, labeling = METHODS[name]
        config = preprocessor_config(bench.config, name, bench.settings.size)
        self.preprocessor = MODELS.build(config).to(bench.device)
        self.augment = self.preprocessor.batch_augments.augments[0] if augment else None
        self.hooks = [EMAHook()] if 'teacher' in (augment or {}) else []
        self.hooks += [LabelingHook(labeling)] if labeling else []
        self.runner = SimpleNamespace(model=bench.model, hooks=[*self.hooks, LoggerHook(interval=100)])
        vars(self.runner).update(iter=0, epoch=0, max_iters=10**9, max_epochs=300, train_loop=None)
        vars(self.runner).update(train_dataloader=range(10**9), message_hub=MessageHub(f'benchmark of {name}'))
        self._call('before_run')

    @contextmanager
    def attached(self):
        """Attach the preprocessor and the hooks of this method to the model."""
        self.bench.model.data_preprocessor = self.preprocessor
        try:
            self._call('before_train')
            self._call('before_train_epoch')
            self._call('before_train_iter', 0, self.bench.draw(self.bench.settings.batch))  # runs its checks
            yield
        finally:
            self._call('after_train')

    def step(self, batch: int | None = None) -> tuple[float, float]:
        """Run a training step. The time to attach the hooks is excluded.

        Returns:
            Seconds of preprocessing, forward pass, loss and backward pass; and seconds with update and hooks.

        Raises:
            FloatingPointError: if the loss is not finite.
        """
        bench = self.bench
        with self.attached():
            data = bench.draw(batch or bench.settings.batch)
            start = bench.update_began = bench.now()
            loss = self.iterate(data)
            whole = bench.now() - start
        if not math.isfinite(value := float(loss)):
            raise FloatingPointError(f'the loss of {self.name} is {value} after {self.runner.iter} steps')
        return bench.update_began - start or whole, whole  # the scaler of fp16 may skip an update

    def iterate(self, data: dict) -> Tensor:
        """Run an iteration of the training loop while this method is attached, and return the loss."""
        number = self.runner.iter
        self._call('before_train_iter', number, data)
        outputs = self.bench.model.train_step(data, self.bench.optim)
        self._call('after_train_iter', number, data, outputs)
        self.runner.iter += 1
        return outputs['loss'].detach()

    def networks(self) -> list[nn.Module]:
        """Return the classifier and all other networks of this method."""
        owners = [*self.hooks, self.augment, *vars(self.augment or SimpleNamespace()).values()]
        kept = [value for owner in owners for value in getattr(owner, '__dict__', {}).values()]
        return [self.bench.model, *(value for value in kept if isinstance(value, nn.Module))]

    def _call(self, event: str, *args) -> None:
        for hook in self.hooks:
            getattr(hook, event)(self.runner, *args)
