"""Benchmark of training DeiT-micro on Fashion-MNIST, loading included."""

import copy
import itertools
import tempfile
from collections.abc import Callable, Sequence

from mmengine.config import Config
from mmengine.runner import Runner

from mixpro_mm.benchmark.measure import interleave, ratio, spread
from mixpro_mm.benchmark.workbench import Workbench
from mixpro_mm.utils.configs import find_configs, read_config

__all__ = ['fashion']

CONFIG = 'fashion/deit-micro_mixpro_fashion.py'
STEPS = 5  # of a round
PIPELINE = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackInputs'),
]
PER_IMAGE = {  # as mmpretrain's configs for small images: a pipeline for each, 32 px, all patch tokens
    'train_dataloader.collate_fn': dict(type='default_collate'),
    'train_dataloader.dataset': dict(type='mixpro_mm.FashionMNIST', split='train', img_size=32, pipeline=PIPELINE),
    'model.backbone.type': 'VisionTransformer',
    'model.backbone.img_size': 32,
}


def fashion(bench: Workbench, names: Sequence[str] = ()) -> list[dict]:
    """Return two records with the images per second of training, from the data set to the updated weights."""
    config = read_config(find_configs() / CONFIG)
    source = config.train_dataloader.dataset.dataset
    per_image = copy.deepcopy(config)
    del per_image.train_dataloader.dataset
    per_image.merge_from_dict(PER_IMAGE)
    per_image.train_dataloader.dataset |= dict(data_root=source.data_root, num_images=source.num_images)
    with tempfile.TemporaryDirectory() as folder:
        trained = {'in memory': config, 'per image': per_image}
        tasks = {name: _training(bench, each, folder) for name, each in trained.items()}
        seconds = interleave(tasks, bench.settings)
    records = []
    for name, each in trained.items():
        size, batch = each.model.backbone.img_size, each.train_dataloader.batch_size
        own = dict(section='fashion', config=CONFIG, loading=name, size_px=size, batch_images=batch)
        own |= spread(seconds[name])
        own |= dict(images_per_s=batch / own['median_s'])
        records.append(own | ratio(seconds[name], seconds['per image'], 'per_image'))
    return records


def _training(bench: Workbench, config: Config, work_dir: str) -> Callable[[], float]:
    """Return a function that trains for some steps and returns the seconds of one."""
    config.work_dir, config.log_level = work_dir, 'WARNING'
    config.randomness = dict(seed=bench.settings.seed)
    runner = Runner.from_cfg(config)
    loop = runner.train_loop
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    for event in ('before_run', 'before_train', 'before_train_epoch'):
        runner.call_hook(event)
    runner.model.train()
    batches = itertools.chain.from_iterable(itertools.repeat(loop.dataloader))

    def train() -> float:
        start = bench.now()
        for number in range(STEPS):
            loop.run_iter(number, next(batches))
        return (bench.now() - start) / STEPS

    return train
