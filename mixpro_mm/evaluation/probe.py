"""k-NN and logistic regression on the frozen features of a classifier."""

import copy
from collections.abc import Sequence

import torch
from mmengine.dist import all_gather
from mmengine.registry import MODELS
from mmengine.runner import Runner, autocast, set_random_seed
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.utils.data import DataLoader

from mixpro_mm.evaluation.measures import PROBE
from mixpro_mm.evaluation.record import RecordedTestLoop, labels_of
from mixpro_mm.functional.probe import fit_logistic, knn_classify
from mixpro_mm.registry import LOOPS, register
from mixpro_mm.transfer.coverage import compare, problem_of
from mixpro_mm.utils.arguments import positive, positive_int, within
from mixpro_mm.utils.backbone_spec import find_backbone
from mixpro_mm.utils.checkpoint import read_checkpoint
from mixpro_mm.utils.configs import dicts
from mixpro_mm.utils.unwrap_model import unwrap_model

__all__ = ['ProbeTestLoop']

WRAPPERS = ('RepeatDataset', 'ClassBalancedDataset', 'InMemoryDataset')  # their images are those of the data set inside
HEADS = ('head', 'fc', 'classifier')  # starts of the names of a classifier inside a timm model


@register(LOOPS)
class ProbeTestLoop(RecordedTestLoop):
    """Classify test images by frozen features; use it as ``test_cfg`` of an mmpretrain config, or ``tools/probe.py``.

    Features are what the last layer of the head receives, of the training images with the test pipeline and of the
    test images. Reports top-1 in percent:

    - ``probe/knn_K``: votes of the K nearest training images (:func:`mixpro_mm.functional.probe.knn_classify`);
    - ``probe/linear``: logistic regression on standardized features. Of the inverse strengths ``cs``, the best on a
      held-out part of the training images is fitted again to all of them;
    - ``probe/random/...``: the same for random weights, with ``random``.

    Before, all tensors of the backbone are compared with the checkpoint. The evaluator is not used.

    Args:
        runner, dataloader, evaluator: See mmengine's ``TestLoop``.
        ks: Numbers of neighbors.
        temperature: Temperature of the votes.
        cs: Inverse strengths of the penalty, as ``C`` in scikit-learn.
        held_out: Fraction of the training images on which ``cs`` are compared.
        random: Whether to test the model with random weights as well.
        seed: Seed of the held-out part and the random weights. Default: that of the config, or 0.
        label, out, fp16: See :class:`RecordedTestLoop`.

    Raises:
        ValueError: An argument does not fit, or the training data cannot be read without augmentation. While testing:
            the backbone does not have the tensors of the checkpoint, features are not finite or not vectors, or images
            do not have one label.
    """

    kind = 'probe'

    def __init__(
        self,
        runner,
        dataloader,
        evaluator,
        ks: Sequence[int] = (10, 20, 100, 200),
        temperature: float = 0.07,
        cs: Sequence[float] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0),
        held_out: float = 0.1,
        random: bool = False,
        seed: int | None = None,
        label: str | None = None,
        out: str = 'probe.json',
        fp16: bool = False,
    ):
        self.ks, self.cs = [positive_int('ks', k) for k in ks], sorted(positive('cs', c) for c in cs)
        self.temperature, self.held_out = positive('temperature', temperature), within('held_out', held_out, 0, 1)
        configured = (runner.cfg.get('randomness') or {}).get('seed') or 0
        self.random, self.seed = random, configured if seed is None else seed
        super().__init__(runner, dataloader, evaluator, label, out, fp16)
        self.train_dataloader = Runner.build_dataloader(_train_loader(runner.cfg), seed=self.seed)
        images = len(self.train_dataloader.dataset)
        if max(self.ks) > images or not 0 < round(held_out * images) < images:
            raise ValueError(f'ks {self.ks} and held_out {held_out:g} do not fit {images} training images')

    def run(self) -> dict:
        """Probe, write the record, and return the metrics."""
        self.runner.call_hook('before_test')
        self.runner.call_hook('before_test_epoch')
        model = unwrap_model(self.runner.model)
        if self.runner._load_from:
            _check_backbone(model, self.runner._load_from)
        metrics, found = self._probe(model, PROBE)
        if self.random:
            metrics |= self._probe(self._random_model(), f'{PROBE}random/')[0]
        self.write_record(metrics=metrics, held_out=found)
        self.runner.call_hook('after_test_epoch', metrics=metrics)
        self.runner.call_hook('after_test')
        return metrics

    def settings(self) -> dict:
        """Return the settings with those of the probe."""
        return super().settings() | dict(
            train_data=dict(_train_loader(self.runner.cfg)['dataset']),
            train_images=len(self.train_dataloader.dataset),
            ks=self.ks,
            temperature=self.temperature,
            cs=self.cs,
            held_out=self.held_out,
            random=self.random,
            seed=self.seed,
        )

    def _probe(self, model: nn.Module, prefix: str) -> tuple[dict[str, float], dict[str, float]]:
        """Return the metrics, and top-1 on the held-out part for each of ``cs``."""
        model.eval()
        (features, labels), (tested, truth) = (
            self._extract(model, loader, f'{prefix[:-1]}, {part} images')
            for part, loader in (('training', self.train_dataloader), ('test', self.dataloader))
        )
        neighbors = knn_classify(tested, features, labels, self.ks, self.temperature)
        metrics = {f'{prefix}knn_{k}': _top1(predicted, truth) for k, predicted in neighbors.items()}
        scale, mean = torch.std_mean(features, dim=0)
        scale = scale.clamp_min(torch.finfo(scale.dtype).eps)
        features, tested = ((each - mean) / scale for each in (features, tested))
        order = torch.randperm(len(features), generator=torch.Generator().manual_seed(self.seed)).to(features.device)
        left, right = order.tensor_split([round(self.held_out * len(order))])
        found, start = {}, None
        for c in self.cs:
            start = self._fit(features[right], labels[right], c, start)
            found[c] = _top1(linear(features[left], *start).argmax(dim=1), labels[left])
        best = max(found, key=found.get)  # the strongest penalty of equal ones
        if len(self.cs) > 1 and best in (self.cs[0], self.cs[-1]):
            self.runner.logger.warning(f'{prefix}linear: the best C is {best:g}, the end of {self.cs}: extend cs')
        metrics[f'{prefix}linear'] = _top1(linear(tested, *self._fit(features, labels, best)).argmax(dim=1), truth)
        return metrics, {f'{c:g}': top1 for c, top1 in found.items()}

    def _fit(self, features: Tensor, labels: Tensor, c: float, start=None) -> tuple[Tensor, Tensor]:
        weight, bias, converged = fit_logistic(features, labels, c, start)
        if not converged:
            self.runner.logger.warning(f'logistic regression with C = {c:g} has not converged')
        return weight, bias

    @torch.no_grad()
    def _extract(self, model: nn.Module, loader: DataLoader, what: str) -> tuple[Tensor, Tensor]:
        """Return features (N, D) fp32 and labels (N,) of all images, on the device of the model, in all processes."""
        features, labels, every = [], [], max(len(loader) // 5, 1)
        for number, batch in enumerate(loader, start=1):
            data = model.data_preprocessor(batch, training=False)
            with autocast(enabled=self.fp16):
                features.append(_features(model, data['inputs']).float())
            labels.append(labels_of(data['data_samples'], 'a probe').to(features[-1].device))
            if number % every == 0 or number == len(loader):
                self.runner.logger.info(f'{what}: batch {number} of {len(loader)}')
        # a sampler gives the images to the processes in turn and repeats some at the end
        parts = (torch.stack(all_gather(torch.cat(each)), dim=1).flatten(0, 1) for each in (features, labels))
        features, labels = (part[: len(loader.dataset)] for part in parts)
        if not features.isfinite().all():
            bad = int((~features.isfinite().all(dim=1)).sum())
            raise ValueError(f'features of {bad} of {len(features)} images are not finite')
        return features, labels

    def _random_model(self) -> nn.Module:
        """Return the model of the config with initial weights, on the device of the tested model."""
        settings = copy.deepcopy(self.runner.cfg.model)
        for _, node in dicts(settings):
            given = node.pop('init_cfg', None)
            kept = [each for each in (given if isinstance(given, list) else [given]) if each and not _is_file(each)]
            node.update(dict(init_cfg=kept) if kept else {})
            node.pop('pretrained', None)
        settings.setdefault('data_preprocessor', copy.deepcopy(self.runner.cfg.get('data_preprocessor')))
        set_random_seed(self.seed)
        model = MODELS.build(settings)
        model.init_weights()
        return model.to(next(self.runner.model.parameters()).device)


def _is_file(init_cfg: dict) -> bool:
    return init_cfg.get('type') == 'Pretrained'


def _train_loader(config) -> dict:
    """Return the config of a data loader of the training images with the test pipeline."""
    if config.get('train_dataloader') is None:
        raise ValueError('a probe needs train_dataloader in its config, whose data set has the training images')
    test, dataset = copy.deepcopy(config.test_dataloader), copy.deepcopy(config.train_dataloader.dataset)
    while _kind(dataset) in WRAPPERS:
        dataset = dataset.dataset
    for each in dataset['datasets'] if _kind(dataset) == 'ConcatDataset' else [dataset]:
        if 'dataset' in each or 'datasets' in each:
            raise ValueError(f'a probe does not know the images in {_kind(each)}: give the data set inside it')
        each['pipeline'] = test.dataset.get('pipeline', [])
    test.dataset, test.sampler = dataset, dict(type='DefaultSampler', shuffle=False)  # `|` would merge
    return test


def _kind(settings: dict) -> str:
    return getattr(settings['type'], '__name__', str(settings['type'])).rpartition('.')[2]


def _check_backbone(model: nn.Module, path: str) -> None:
    """Raise ValueError if the backbone does not have the tensors of the checkpoint, which mmengine only logs."""
    backbone, file = find_backbone(model), read_checkpoint(path)
    name = next(name for name, module in model.named_modules() if module is backbone)
    # TimmClassifier saves without the prefix
    is_timm = name == 'model' and not any(key.startswith('model.') for key in file.tensors)
    coverage = compare(backbone, file.tensors, '' if is_timm else f'{name}.', allow=[f'{head}*' for head in HEADS])
    coverage.mismatched = [each for each in coverage.mismatched if not each['name'].startswith(HEADS)]
    coverage.checkpoint = path
    if problem := problem_of(coverage, name, file, coverage.altered):
        raise ValueError(problem)


def _features(model: nn.Module, images: Tensor) -> Tensor:
    """Return what the last layer of the head receives, (B, D)."""
    if hasattr(getattr(model, 'model', None), 'forward_head'):  # TimmClassifier
        features = model.model.forward_head(model.model.forward_features(images), pre_logits=True)
    else:
        features = model.extract_feat(images, stage='pre_logits')
    features = torch.cat(features, dim=1) if isinstance(features, tuple) else features  # class and distillation token
    if features.ndim != 2:
        raise ValueError(f'the head of {type(model).__name__} receives features {tuple(features.shape)}, not vectors')
    return features


def _top1(predicted: Tensor, truth: Tensor) -> float:
    return 100 * (predicted == truth).double().mean().item()
