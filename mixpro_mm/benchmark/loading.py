"""Benchmark of the training pipeline of the ImageNet configs on photographs, and of a data loader with workers."""

import copy
import itertools
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import cv2
import mmpretrain.datasets  # noqa: F401  registers the transforms
import torch
from mmengine.dataset import Compose, default_collate
from mmengine.registry import DefaultScope
from mmengine.runner import set_random_seed
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from mixpro_mm.benchmark.measure import interleave, ratio, spread
from mixpro_mm.benchmark.workbench import Workbench
from mixpro_mm.utils.configs import find_configs, read_config

__all__ = ['SIZES', 'Files', 'init_worker', 'loading', 'photographs', 'pipelines']

CONFIG, HOST = '_base_/in1k.py', 'mmpretrain'
SIZES = (500, 375), (1000, 750), (2000, 1500)  # the first is the most common in ImageNet-1k
IMAGES = 32  # of a round
WORKERS, BATCHES, BATCH = (1, 2), 8, 32  # of a round of a data loader
MANY = 10_000  # images for the growth of memory
STATM = Path('/proc/self/statm')


def photographs(folder: Path, size: tuple[int, int]) -> list[str]:
    """Write the two photographs of scikit-learn (640 x 427 px) and their mirror images as JPEG, quality 95.

    Returns:
        The paths. Sizes above that of the photographs are interpolated, so these files are smoother than photographs.
    """
    from sklearn.datasets import load_sample_images

    paths = []
    for number, pixels in enumerate(load_sample_images().images):
        for mirrored in (False, True):
            image = Image.fromarray(pixels[:, ::-1] if mirrored else pixels).resize(size, Image.Resampling.BICUBIC)
            paths.append(str(folder / f'{size[0]}_{number}{mirrored:d}.jpg'))
            image.save(paths[-1], quality=95)
    return paths


def loading(bench: Workbench, names: Sequence[str] = ()) -> list[dict]:
    """Return records of each pipeline at each size, and of data loaders with workers.

    A pipeline takes an image from its cached file to the packed sample, in CPU time of one process.
    """
    threads, records = cv2.getNumThreads(), []
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder, DefaultScope.overwrite_default_scope('mmpretrain'):
        built = {name: Compose(steps) for name, steps in pipelines().items()}
        others = dict(decoding=lambda sample: cv2.imread(sample['img_path'])) | _timm()
        files = {size: photographs(Path(folder), size) for size in SIZES}
        for size, paths in files.items():
            tasks = {name: _timed(bench, load, paths) for name, load in (built | others).items()}
            seconds = interleave(tasks, bench.settings)
            kilobytes = sum(Path(path).stat().st_size for path in paths) / len(paths) / 1000
            for name, values in seconds.items():
                own = dict(section='loading', pipeline=name, width_px=size[0], height_px=size[1], file_kb=kilobytes)
                own |= spread(values)
                own |= dict(images_per_s_and_core=1 / own['median_s']) | ratio(values, seconds[HOST], HOST)
                records.append(own | ratio(values, seconds['decoding'], 'decoding'))
        records += _workers(bench, built, files[SIZES[0]])
    cv2.setNumThreads(threads)
    return records


def pipelines(size: int = 224) -> dict[str, list[dict]]:
    """Return the pipelines of the recipe, mmpretrain's and ours, for images of ``size`` x ``size`` pixels."""
    config = read_config(find_configs() / CONFIG)
    host, ours = copy.deepcopy(config.train_pipeline), copy.deepcopy(config.train_dataloader.dataset.pipeline)
    host[1].scale = ours[0].scale = size
    return {HOST: host, 'mixpro_mm': ours}


def _timed(bench: Workbench, load: Callable, paths: list[str]) -> Callable[[], float]:
    """Return a function that returns the seconds of an image; the draws of a round are the same for all pipelines."""
    rounds = iter(range(bench.settings.seed, 1 << 30))

    def load_all() -> float:
        set_random_seed(next(rounds))
        start = time.process_time()
        for number in range(IMAGES):
            load(dict(img_path=paths[number % len(paths)], gt_label=0))
        return (time.process_time() - start) / IMAGES

    return load_all


def _timm() -> dict[str, Callable]:
    """Return a pipeline as in timm, which erases on the device, or an empty dict if timm is not installed."""
    try:
        from timm.data.auto_augment import rand_augment_transform
    except ImportError:
        return {}
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import Compose, PILToTensor, RandomHorizontalFlip, RandomResizedCrop

    hparams = dict(translate_const=100, img_mean=(124, 116, 104), interpolation=Image.Resampling.BICUBIC)
    augment = rand_augment_transform('rand-m9-mstd0.5-inc1', hparams)
    crop = RandomResizedCrop(224, interpolation=InterpolationMode.BICUBIC)
    before, pack = Compose([crop, RandomHorizontalFlip()]), PILToTensor()

    def load(sample: dict):
        image = before(Image.open(sample['img_path']).convert('RGB'))
        with suppress(ValueError):  # timm 1.0.31 posterizes to 0 bits, which Pillow 13 refuses: 17 of 10,000 images
            image = augment(image)
        return pack(image)

    return dict(timm=load)


class Files(Dataset):
    """Samples of a pipeline, or with ``memory`` the resident memory of the process in MiB after each (Linux)."""

    def __init__(self, load: Callable, paths: list[str], length: int, memory: bool = False):
        self.load, self.paths, self.length, self.memory = load, paths, length, memory

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int):
        sample = self.load(dict(img_path=self.paths[index % len(self.paths)], gt_label=0))
        return int(STATM.read_text().split()[1]) * resource.getpagesize() / 2**20 if self.memory else sample


def init_worker(worker: int) -> None:
    """Seed a worker, with one thread for OpenCV."""
    set_random_seed(worker)
    cv2.setNumThreads(1)  # as mmengine


def _workers(bench: Workbench, built: dict[str, Callable], paths: list[str]) -> list[dict]:
    """Return the images per second of data loaders in wall-clock time, and the growth of the memory of a worker."""
    images, tasks, records = BATCHES * BATCH, {}, []
    for count, name in itertools.product(WORKERS, built):
        files = Files(built[name], paths, images)
        own = dict(num_workers=count, collate_fn=default_collate, worker_init_fn=init_worker, persistent_workers=True)
        tasks[f'{name} {count}'] = partial(_pass, DataLoader(files, batch_size=BATCH, **own))
    seconds = interleave(tasks, bench.settings)
    for count, name in itertools.product(WORKERS, built):
        values = seconds[f'{name} {count}']
        own = dict(section='workers', pipeline=name, workers=count, batch_images=BATCH, **spread(values))
        own |= dict(images_per_s=1 / own['median_s']) | ratio(values, seconds[f'{HOST} {count}'], HOST)
        growth = dict(growth_mib=_growth(built[name], paths)) if count == 1 and STATM.exists() else {}
        records.append(own | growth)
    return records


def _pass(loader: DataLoader) -> float:
    """Return the seconds per image of a pass over a loader, whose workers persist."""
    start = time.perf_counter()
    if not all(image.dtype == torch.uint8 for batch in loader for image in batch['inputs']):
        raise RuntimeError('a pipeline returned images that are not uint8')
    return (time.perf_counter() - start) / len(loader.dataset)


def _growth(load: Callable, paths: list[str]) -> float:
    """Return the MiB by which the resident memory of a worker grows after its first images."""
    files = Files(load, paths, MANY, memory=True)
    options = dict(num_workers=1, collate_fn=max, worker_init_fn=init_worker)
    first, *_, last = DataLoader(files, batch_size=MANY // 10, **options)
    return last - first
