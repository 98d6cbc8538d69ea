"""One classifier, one optimizer and one synthetic batch, at which methods take turns."""

import math
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from mmengine.hooks import EMAHook, LoggerHook
from mmengine.logging import MessageHub
from mmengine.runner import set_random_seed
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn

from mixpro_mm.benchmark.methods import METHODS
from mixpro_mm.benchmark.models import CLASSES, classifier_config, patch_size, preprocessor_config
from mixpro_mm.benchmark.optimizer import build_optim_wrapper
from mixpro_mm.benchmark.stopwatch import CLOCKS, Stopwatch
from mixpro_mm.labeling.hook import LabelingHook

__all__ = ['Session', 'Settings', 'Workbench']


@dataclass(frozen=True)
class Settings:
    """What is measured: the model, the images, and the precision it is trained in.

    ``alone_batch`` is the batch of what is timed on its own, mixing and labelling. ``threads`` are as torch takes them
    where it is None; ``clock`` is as of ``Stopwatch``.
    """

    backbone: str = 'deit-small'
    size: int = 224
    batch: int = 8
    alone_batch: int = 64
    device: str = 'cpu'
    amp: str = 'none'
    seed: int = 0
    threads: int | None = None
    clock: str = 'wall'
    classes: int = CLASSES


class Workbench:
    """All methods train the same weights: copies of a model differ in speed by where they lie in memory.

    Raises:
        ValueError: if a name in the settings is unknown, or there is no such device.
    """

    def __init__(self, settings: Settings):
        config = classifier_config(settings.backbone, settings.size, settings.classes)
        if settings.device not in ('cpu', 'cuda'):
            raise ValueError(f'device {settings.device!r} is unknown; known: cpu, cuda')
        if settings.device == 'cuda' and not torch.cuda.is_available():
            raise ValueError('this machine has no CUDA device that torch can use: choose cpu')
        if settings.clock not in CLOCKS:
            raise ValueError(f'clock {settings.clock!r} is unknown; known: {", ".join(CLOCKS)}')
        if settings.clock == 'cpu' and (settings.device, settings.threads) != ('cpu', 1):
            raise ValueError("clock 'cpu' adds up over threads and does not see a GPU: choose device cpu and threads 1")
        if settings.threads is not None:
            torch.set_num_threads(settings.threads)
        set_random_seed(settings.seed)
        self.settings, self.device = settings, torch.device(settings.device)
        self.model = MODELS.build(config).to(self.device).train()
        self.trained = self.model  # or what several processes wrap around it
        self.optim = build_optim_wrapper(self.model, settings.amp, self.device)
        self.watch = self.optim.watch = Stopwatch(self.device, settings.clock)
        self._inputs: dict[int, torch.Tensor] = {}

    def draw(self, batch: int) -> dict:
        """A batch as the data loader gives it: (B, 3, H, W) bytes, on the device already, and fresh data samples."""
        if batch not in self._inputs:
            shape = (batch, 3, self.settings.size, self.settings.size)
            self._inputs = {batch: torch.randint(256, shape, dtype=torch.uint8, device=self.device)}
        samples = [DataSample().set_gt_label(number % self.settings.classes) for number in range(batch)]
        return dict(inputs=self._inputs[batch], data_samples=samples)


class Session:
    """A method in training: the data preprocessor its config gives, and its hooks, driven as mmengine's loop does.

    The hooks get a stand-in for the runner with what they look at. The logger hook among them only lends its interval,
    at which ``LabelingHook`` sums up.
    """

    def __init__(self, bench: Workbench, name: str):
        self.bench, self.name = bench, name
        method = METHODS[name]
        config = preprocessor_config(
            method.config(patch_size(bench.settings.backbone), bench.settings.size), bench.settings.classes
        )
        self.preprocessor = MODELS.build(config).to(bench.device)
        self.labeling = LabelingHook(method.labeling) if method.labeling else None
        self.ema = EMAHook() if method.ema else None
        self.hooks = [hook for hook in (self.ema, self.labeling) if hook is not None]
        self.runner = SimpleNamespace(
            model=bench.trained,
            hooks=[*self.hooks, LoggerHook(interval=100)],
            iter=0,
            epoch=0,
            max_iters=10**9,
            max_epochs=300,
            train_loop=None,
            train_dataloader=range(10**9),
            message_hub=MessageHub(f'benchmark of {name}'),
        )
        self._call('before_run')

    @property
    def augment(self):
        """The batch augment; None for the baseline."""
        random_augment = self.preprocessor.batch_augments
        return None if random_augment is None else random_augment.augments[0]

    @contextmanager
    def attached(self):
        """The method's turn: its preprocessor in the model, its hooks attached."""
        self.bench.model.data_preprocessor = self.preprocessor
        try:
            self._call('before_train')
            self._call('before_train_epoch')
            yield self
        finally:
            self._call('after_train')

    def step(self, batch: int | None = None) -> tuple[float, float]:
        """One training step while attached.

        Returns:
            Seconds of normalising and mixing, forward pass, loss and backward pass; and of these with update and hooks.

        Raises:
            FloatingPointError: if the loss is not finite.
        """
        bench, number = self.bench, self.runner.iter
        data = bench.draw(batch or bench.settings.batch)
        bench.watch.start()
        self._call('before_train_iter', number, data)
        outputs = bench.trained.train_step(data, bench.optim)
        self._call('after_train_iter', number, data, outputs)
        bench.watch.mark()
        self.runner.iter += 1
        if not math.isfinite(loss := float(outputs['loss'].detach())):
            raise FloatingPointError(f'the loss of {self.name} is {loss} after {number + 1} steps')
        *backward, whole = bench.watch.seconds()
        return (backward or [whole])[0], whole

    def turn(self, batch: int | None = None) -> tuple[float, float]:
        """:meth:`step` between attaching and detaching, which the time leaves out."""
        with self.attached():
            return self.step(batch)

    def networks(self) -> list[nn.Module]:
        """The classifier, and every other network this method keeps."""
        kept = [] if self.ema is None else [self.ema.ema_model.module]
        owners = [self.augment, *vars(self.augment or SimpleNamespace()).values()]
        found = [value for owner in owners for value in getattr(owner, '__dict__', {}).values()]
        return [self.bench.model, *kept, *(value for value in found if isinstance(value, nn.Module))]

    def parameters(self) -> int:
        """Number of parameters of all :meth:`networks`, each once."""
        unique = {id(p): p.numel() for network in self.networks() for p in network.parameters()}
        return sum(unique.values())

    def _call(self, event: str, *args) -> None:
        for hook in self.hooks:
            getattr(hook, event)(self.runner, *args)
