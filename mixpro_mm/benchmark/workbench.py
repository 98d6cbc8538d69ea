"""One classifier, one optimizer and one synthetic batch, on which methods take turns."""

import math
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace

import torch
from mmengine.hooks import EMAHook, LoggerHook
from mmengine.logging import MessageHub
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import DefaultScope
from mmengine.runner import set_random_seed
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn

from mixpro_mm.benchmark.methods import METHODS, classifier_config, preprocessor_config
from mixpro_mm.labeling.hook import LabelingHook

__all__ = ['Session', 'Settings', 'Workbench']

AMP = {'none': None, 'bf16': 'bfloat16', 'fp16': 'float16'}
CLOCKS = {'wall': time.perf_counter, 'cpu': time.process_time}


def _option(default, text: str, choices=None):
    return field(default=default, metadata=dict(help=text, choices=choices))


@dataclass(frozen=True)
class Settings:
    """What is measured; each field is an option of ``tools/benchmark.py``.

    Raises:
        ValueError: for a number that is not above 0, and where precision or clock do not fit the device.
    """

    backbone: str = _option('deit-small', 'as in the names of configs/pretrain, or the path of a config with MixPro')
    size: int = _option(224, 'pixels along the side of an image')
    batch: int = _option(8, 'images in a training step')
    alone_batch: int = _option(64, 'images where mixing or labelling is timed alone')
    device: str = _option('cpu', 'cuda where torch can use it', ('cpu', 'cuda')[: 1 + torch.cuda.is_available()])
    amp: str = _option('none', 'mixed precision, on cuda', AMP)
    seed: int = _option(0, 'of weights, images, masks and the order of methods')
    threads: int | None = _option(None, 'of torch on a CPU')
    clock: str = _option('wall', 'cpu: computing time of this process, with one thread', CLOCKS)
    classes: int = _option(1000, 'of the head')
    rounds: int = _option(30, 'of each section, at most, after one to warm up')
    minutes: float = _option(2.0, 'of each section, after which fewer rounds are done, at least three')

    def __post_init__(self):
        for name, value in vars(self).items():
            if name != 'seed' and isinstance(value, int | float) and value <= 0:
                raise ValueError(f'{name} must be above 0, got {value}')
        if self.amp != 'none' and self.device != 'cuda':
            raise ValueError(f'amp {self.amp!r} needs a CUDA device, not {self.device}')
        if self.clock == 'cpu' and (self.device, self.threads) != ('cpu', 1):
            raise ValueError("clock 'cpu' adds up over threads and does not see a GPU: choose device cpu and threads 1")


class Workbench:
    """All methods train the same weights: copies of a model differ in speed by where they lie in memory."""

    def __init__(self, settings: Settings):
        if settings.threads is not None:
            torch.set_num_threads(settings.threads)
        set_random_seed(settings.seed)
        self.settings, self.device = settings, torch.device(settings.device)
        self.config = classifier_config(settings.backbone, settings.size, settings.classes)
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            model = MODELS.build(dict(self.config.model, train_cfg=None))
        self.model = model.to(self.device).train()
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, weight_decay=0.05)  # of the paper's recipe
        optimizer.register_step_pre_hook(lambda *args: setattr(self, 'update_began', self.now()))
        amp = AMP[settings.amp]
        self.optim = AmpOptimWrapper(dtype=amp, optimizer=optimizer) if amp else OptimWrapper(optimizer)
        self.update_began, self._images = 0.0, torch.empty(0)

    def now(self) -> float:
        """Seconds on the clock, once the device is idle."""
        if self.device.type == 'cuda':
            torch.cuda.synchronize()
        return CLOCKS[self.settings.clock]()

    def draw(self, batch: int) -> dict:
        """A batch as the data loader gives it: (B, 3, H, W) uint8, the same images every time, and fresh samples."""
        if len(self._images) != batch:
            shape = (batch, 3, self.settings.size, self.settings.size)
            self._images = torch.randint(256, shape, dtype=torch.uint8, device=self.device)
        samples = [DataSample().set_gt_label(number % self.settings.classes) for number in range(batch)]
        return dict(inputs=self._images, data_samples=samples)


class Session:
    """A method in training: the data preprocessor of its config, and its hooks, called as mmengine's loop calls them.

    The hooks get a stand-in for the runner. Its LoggerHook only lends ``LabelingHook`` the interval at which to log.
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
        """Within it the model has the preprocessor of this method, and its hooks are attached."""
        self.bench.model.data_preprocessor = self.preprocessor
        try:
            self._call('before_train')
            self._call('before_train_epoch')
            self._call('before_train_iter', 0, self.bench.draw(self.bench.settings.batch))  # checks done once a run
            yield
        finally:
            self._call('after_train')

    def step(self, batch: int | None = None) -> tuple[float, float]:
        """One training step; attaching the hooks is not timed.

        Returns:
            Seconds of normalising and mixing, forward pass, loss and backward pass; and of these with update and hooks.

        Raises:
            FloatingPointError: if the loss is not finite.
        """
        bench, number = self.bench, self.runner.iter
        with self.attached():
            data = bench.draw(batch or bench.settings.batch)
            start = bench.update_began = bench.now()
            self._call('before_train_iter', number, data)
            outputs = bench.model.train_step(data, bench.optim)
            self._call('after_train_iter', number, data, outputs)
            whole = bench.now() - start
        self.runner.iter += 1
        if not math.isfinite(loss := float(outputs['loss'].detach())):
            raise FloatingPointError(f'the loss of {self.name} is {loss} after {number + 1} steps')
        return bench.update_began - start or whole, whole  # the scaler of fp16 may skip an update

    def networks(self) -> list[nn.Module]:
        """The classifier, and every other network this method keeps."""
        owners = [*self.hooks, self.augment, *vars(self.augment or SimpleNamespace()).values()]
        kept = [value for owner in owners for value in getattr(owner, '__dict__', {}).values()]
        return [self.bench.model, *(value for value in kept if isinstance(value, nn.Module))]

    def parameters(self) -> int:
        """Number of parameters of all :meth:`networks`, each once."""
        return sum({id(p): p.numel() for network in self.networks() for p in network.parameters()}.values())

    def _call(self, event: str, *args) -> None:
        for hook in self.hooks:
            getattr(hook, event)(self.runner, *args)
