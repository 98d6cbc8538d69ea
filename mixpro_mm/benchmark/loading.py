"""Benchmark of the training pipeline of the ImageNet configs on synthetic JPEGs."""

import io
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import mmpretrain.datasets  # noqa: F401  registers the transforms
import numpy as np
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from mmengine.runner import set_random_seed
from PIL import Image

from mixpro_mm.benchmark.measure import interleave, spread
from mixpro_mm.benchmark.workbench import Workbench
from mixpro_mm.utils.configs import find_configs, read_config

__all__ = ['loading', 'synthetic_jpeg']

CONFIG = '_base_/in1k.py'
SIZE = WIDTH, HEIGHT = 500, 375  # the most common size in ImageNet-1k
IMAGES = 16


def synthetic_jpeg(seed: int) -> bytes:
    """Return a JPEG of noise with the size and, within 5 %, the 110 kB of a typical image of ImageNet-1k."""
    noise = np.random.default_rng(seed).integers(0, 256, (HEIGHT // 3, WIDTH // 3 + 1, 3), dtype=np.uint8)
    Image.fromarray(noise).resize(SIZE, Image.Resampling.BICUBIC).save(file := io.BytesIO(), 'JPEG', quality=90)
    return file.getvalue()


def loading(bench: Workbench, names: Sequence[str] = ()) -> list[dict]:
    """Return one record with the images per second of CPU time, from cached file to packed sample."""
    pipeline = read_config(find_configs() / CONFIG).train_dataloader.dataset.pipeline
    with tempfile.TemporaryDirectory() as folder, DefaultScope.overwrite_default_scope('mmpretrain'):
        load, paths = Compose(pipeline), [Path(folder, f'{number}.JPEG') for number in range(IMAGES)]
        size = sum(path.write_bytes(synthetic_jpeg(number)) for number, path in enumerate(paths))
        set_random_seed(bench.settings.seed)

        def load_all() -> float:
            start = time.process_time()
            for path in paths:
                load(dict(img_path=str(path), gt_label=0))
            return (time.process_time() - start) / IMAGES

        seconds = spread(interleave(dict(loading=load_all), bench.settings)['loading'])
    image = dict(width_px=WIDTH, height_px=HEIGHT, file_kb=size / IMAGES / 1000)
    return [dict(section='loading', config=CONFIG, **image, **seconds, images_per_s_and_core=1 / seconds['median_s'])]
