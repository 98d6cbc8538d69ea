"""Accuracy with random, salient or non-salient patches dropped (MixPro, Figure 3)."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from mmengine.dist import all_reduce, get_dist_info
from mmengine.runner import autocast
from torch import Tensor

from mixpro_mm.evaluation.occlusion_plan import curves_of, metric_name, plan_points, seed_of
from mixpro_mm.evaluation.record import RecordedTestLoop, labels_of, numbers_of
from mixpro_mm.evaluation.saliency_model import build_saliency_model, saliency_tap
from mixpro_mm.functional import patch_drop
from mixpro_mm.registry import LOOPS, register
from mixpro_mm.utils.arguments import positive_int
from mixpro_mm.utils.backbone_spec import find_backbone
from mixpro_mm.utils.unwrap_model import in_shards, unwrap_model

__all__ = ['OcclusionTestLoop']


@register(LOOPS)
class OcclusionTestLoop(RecordedTestLoop):
    """Test a classifier on images with black patches; use it as ``test_cfg`` of an mmpretrain config.

    The model predicts each batch once unchanged, for the evaluator, and once per point. Patches are dropped before the
    data preprocessor normalises the images. Salient patches are those of the unchanged image.

    Protocol 'naseer' (Naseer et al., NeurIPS 2021): 'random' drops ``floor(ratio * N)`` of N patches, the same in all
    images of a batch; 'salient' drops the top patches with the fraction ``ratio`` of the attention; 'non-salient' keeps
    the top patches with the fraction ``1 - ratio``. Protocol 'count' drops ``round(ratio * N)`` patches of each image:
    the most salient, the least salient, or random ones. A larger ratio drops a superset.

    Reports ``occlusion/MODE_RATIO``, top-1 in percent, and the metrics of the evaluator. The record of RecordedTestLoop
    has ``whole``, the metrics of the evaluator, and ``curves``; ``tools/visualize.py occlusion`` draws records.

    Args:
        ratios: Fractions to drop, in [0, 1]: a list, or a dict with a list per mode. Default: those of Naseer et al.,
            0 to 0.9 ('salient' in 'naseer': 0.1 to 1).
        modes: Subset of 'random', 'salient' and 'non-salient'.
        protocol: 'naseer' or 'count'.
        grid: Patches along a side; it must divide the image size.
        repeats: Number of runs of 'random'.
        seed: Seed of the random patches. In 'naseer' they depend on the batch, so give a shuffling sampler a seed.
        saliency: Model of the class attention: ``dict(type='VisionTransformer', ..., checkpoint='FILE')``, a backbone
            of mmpretrain, or 'self' for the tested model.
        saliency_head: Attention head of its last block, or 'mean'. Naseer et al. use head 1 of DINO.
        label: Name of the model in the figure; default: the name of the config file.
        out: Name of the JSON file.
        fp16: Test in half precision; attention is computed in fp32.

    Raises:
        ValueError: An argument or the saliency model is invalid, or the data set labels other classes than the model.
            While testing: images have no label, different sizes or a size that ``grid`` does not divide, or are
            normalised in the pipeline, where zero is not black.
        FileNotFoundError: The saliency checkpoint does not exist.
    """

    kind = 'occlusion'

    def __init__(
        self,
        runner,
        dataloader,
        evaluator,
        ratios: Sequence[float] | Mapping[str, Sequence[float]] | None = None,
        modes: Sequence[str] = patch_drop.MODES,
        protocol: str = 'naseer',
        grid: int = 14,
        repeats: int = 1,
        seed: int = 0,
        saliency: dict | str | None = None,
        saliency_head: int | str = 1,
        label: str | None = None,
        out: str = 'occlusion.json',
        fp16: bool = False,
    ):
        self.points = plan_points(ratios, modes, protocol, repeats)
        self.guided = [mode for mode in patch_drop.MODES[1:] if any(point.mode == mode for point in self.points)]
        self.grid = positive_int('grid', grid)
        super().__init__(runner, dataloader, evaluator, label, out, fp16)
        self._check_labels()
        self.protocol, self.repeats, self.seed = protocol, repeats, seed
        self.saliency, self.saliency_head = saliency, saliency_head
        self._saliency_model = self._tap = self._saliency_sha256 = None
        if self.guided:
            self._saliency_model = self._build_saliency_model()
            self._tap = saliency_tap(self._saliency_model, saliency_head)

    def run(self) -> dict:
        """Test, write the record, and return the metrics of the evaluator and of the points."""
        self.runner.call_hook('before_test')
        self.runner.call_hook('before_test_epoch')
        self.runner.model.eval()
        self._seen, self._size = 0, None
        self._right = torch.zeros(len(self.points), dtype=torch.int64, device=self._model.data_preprocessor.device)
        self._dropped = torch.zeros(len(self.points), dtype=torch.int64)
        for idx, data_batch in enumerate(self.dataloader):
            self.run_iter(idx, data_batch)
        all_reduce(self._right)
        all_reduce(self._dropped)
        images = len(self.dataloader.dataset)
        metrics = self.evaluator.evaluate(images)
        curves = curves_of(self.points, self._right.tolist(), self._dropped.tolist(), images, self.grid, self.protocol)
        self.write_record(whole=numbers_of(metrics), curves=curves)
        metrics |= {metric_name(mode, point['ratio']): point['top1'] for mode in curves for point in curves[mode]}
        self.runner.call_hook('after_test_epoch', metrics=metrics)
        self.runner.call_hook('after_test')
        return metrics

    @torch.no_grad()
    def run_iter(self, idx, data_batch) -> None:
        """Predict one batch: the unchanged images, then every point."""
        self.runner.call_hook('before_test_iter', batch_idx=idx, data_batch=data_batch)
        images = self._model.data_preprocessor.cast_data(_images(data_batch['inputs']))
        self._size = tuple(images.shape[2:])
        rank, world = get_dist_info()
        # A distributed sampler pads the data set; padded images come after the last one and do not count.
        places = rank + world * (self._seen + torch.arange(len(images)))
        counts = places < len(self.dataloader.dataset)
        self._seen += len(images)

        with autocast(enabled=self.fp16):
            outputs = self.runner.model.test_step(dict(data_batch, inputs=images))
        labels = labels_of(outputs, 'an occlusion test').to(images.device)
        counted, whole = counts.to(images.device), _predicted(outputs)
        self.evaluator.process(data_samples=outputs, data_batch=data_batch)
        names = [sample.get('sample_idx', place) for sample, place in zip(outputs, places.tolist(), strict=True)]
        size = self.dataloader.batch_size  # None with a custom batch sampler
        batches = (places // size).tolist() if size else [idx * world + rank] * len(images)
        for number, dropped in enumerate(self._drops(images, names, batches)):
            predicted = whole
            if dropped.any():
                masked = patch_drop.blacken(images, dropped.to(images.device), self.grid)
                with autocast(enabled=self.fp16):
                    predicted = _predicted(self.runner.model.test_step(dict(inputs=masked)))
            self._right[number] += ((predicted == labels) & counted).sum()
            self._dropped[number] += dropped.expand(len(images), -1)[counts].sum()
        self.runner.call_hook('after_test_iter', batch_idx=idx, data_batch=data_batch, outputs=outputs)

    def _drops(self, images: Tensor, names: list[int], batches: list[int]) -> Iterator[Tensor]:
        """Yield the dropped patches (B or 1, N) bool of every point, from the indices of images and batches.

        The batches are those of a single process, so that the number of processes does not affect the patches.
        """
        patches, orders = self.grid**2, {}
        if self._tap:
            normalised = self._model.data_preprocessor(dict(inputs=images))['inputs']
            backbone = find_backbone(self._saliency_model).to(images.device)
            mass = patch_drop.patch_mass(self._tap.maps(lambda: backbone(normalised), normalised).cpu(), self.grid)
            orders = {mode: mass.argsort(dim=1, descending=mode == 'salient', stable=True) for mode in self.guided}
        for mode, ratio, run in self.points:
            if mode != 'random' and self.protocol == 'naseer':
                yield patch_drop.drop_salient_mass(mass, ratio, mode)
                continue
            if mode == 'random' and (mode, run) not in orders:
                drawn = batches if self.protocol == 'naseer' else names
                seeds = [seed_of(self.seed, run, name) for name in drawn]
                orders[mode, run] = patch_drop.random_order(patches, seeds[:1] if len(set(seeds)) == 1 else seeds)
            order = orders[(mode, run) if mode == 'random' else mode]
            yield patch_drop.drop_first(order, patch_drop.drop_count(ratio, patches, self.protocol))

    @property
    def _model(self) -> torch.nn.Module:
        return unwrap_model(self.runner.model)

    def _build_saliency_model(self) -> torch.nn.Module:
        if self.saliency == 'self':
            if holder := in_shards(self.runner.model):
                raise ValueError(
                    f"saliency='self' runs the model on its own, but {holder} holds its weights in shards: use one "
                    'process, DDP, or another saliency model'
                )
            return self._model
        if not isinstance(self.saliency, Mapping):
            raise ValueError(
                f"{' and '.join(self.guided)} patches need saliency=dict(type='VisionTransformer', ..., "
                f"checkpoint='FILE') or 'self', got {self.saliency!r}"
            )
        model, self._saliency_sha256 = build_saliency_model(self.saliency)
        return model

    def _check_labels(self) -> None:
        dataset = self.dataloader.dataset
        indices = (getattr(dataset, 'metainfo', None) or {}).get('indices')
        if indices is not None and list(indices) != list(range(len(indices))):
            raise ValueError(
                f'labels of {type(dataset).__name__} are positions in its `indices` {list(indices)[:3]}, ...; an '
                'occlusion test needs the class indices of the model'
            )

    def settings(self) -> dict:
        """Return the settings with those of the occlusion."""
        saliency = dict(self.saliency) if isinstance(self.saliency, Mapping) else self.saliency
        return super().settings() | dict(
            protocol=self.protocol,
            grid=self.grid,
            size=list(self._size),
            points=[[point.mode, point.ratio] for point in self.points if point.run == 0],
            repeats=self.repeats,
            seed=self.seed,
            saliency=saliency if self.guided else None,
            saliency_head=self.saliency_head if self.guided else None,
            saliency_sha256=self._saliency_sha256,
        )


def _images(inputs) -> Tensor:
    """Stack images of a batch to (B, C, H, W); they must not be normalised."""
    sizes = {tuple(image.shape[-2:]) if isinstance(image, Tensor) else type(image).__name__ for image in inputs}
    if len(sizes) > 1 or not all(isinstance(size, tuple) for size in sizes):
        raise ValueError(f'occlusion needs images of one size in a batch and no test-time augmentation, got {sizes}')
    images = inputs if isinstance(inputs, Tensor) else torch.stack(list(inputs))
    if images.is_floating_point() and not images.min() >= 0:  # also for NaN
        raise ValueError(
            f'the minimum of the images is {images.min().item():.3g}, so zero is not black: normalise in the data '
            'preprocessor, not in the pipeline'
        )
    return images


def _predicted(outputs) -> Tensor:
    return torch.cat([sample.pred_label for sample in outputs])
