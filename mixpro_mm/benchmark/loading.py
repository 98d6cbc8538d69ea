"""What a core loads: the training pipeline of our ImageNet configs, on made-up JPEGs of ImageNet's usual size."""

import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from mmengine.runner import set_random_seed
from PIL import Image

from mixpro_mm.benchmark.rounds import interleave
from mixpro_mm.benchmark.statistics import spread
from mixpro_mm.reporting.paper import find_configs

__all__ = ['CONFIG', 'made_up_jpeg', 'measure_loading']

CONFIG = '_base_/in1k.py'
WIDTH, HEIGHT, BYTES = 500, 375, 110_000  # the usual photograph of ImageNet-1k, and the size of its file
IMAGES = 16


def made_up_jpeg(seed: int) -> bytes:
    """A JPEG of WIDTH x HEIGHT pixels: noise on several scales, as loud as its file comes within 5 % of BYTES.

    The time to decode follows the bytes of the file as well as the pixels, so both have to be usual.
    """
    rng = np.random.default_rng(seed)
    smooth = sum(_noise(rng, cells) for cells in (4, 16, 64))
    fine, low, high = rng.standard_normal((HEIGHT, WIDTH, 3)), 0.0, 128.0
    while True:
        loud = (low + high) / 2
        pixels = np.clip(128 + 30 * smooth + loud * fine, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(file := io.BytesIO(), 'JPEG', quality=90)
        if abs(len(file.getvalue()) / BYTES - 1) <= 0.05:
            return file.getvalue()
        low, high = (low, loud) if len(file.getvalue()) > BYTES else (loud, high)


def measure_loading(rounds: int, budget_s: float, report: Callable[[int, int], None], seed: int = 0) -> list[dict]:
    """One record: images per second that one process loads, by its computing time, so what others compute is left out.

    From the file (in the cache of the system) to the packed sample, one image at a time; a round is all the images.

    Args:
        rounds: at most, beside one to warm up.
        budget_s: as of ``interleave``.
        report: told after every round.
        seed: of the images and of what the pipeline draws.
    """
    files = [made_up_jpeg(seed + number) for number in range(IMAGES)]
    pipeline = Config.fromfile(find_configs() / CONFIG).train_dataloader.dataset.pipeline
    with tempfile.TemporaryDirectory() as folder, DefaultScope.overwrite_default_scope('mmpretrain'):
        import mmpretrain.datasets  # noqa: F401  enters the transforms

        load, paths = Compose(pipeline), [Path(folder, f'{number}.JPEG') for number in range(IMAGES)]
        for path, content in zip(paths, files, strict=True):
            path.write_bytes(content)
        set_random_seed(seed)

        def load_all() -> float:
            start = time.process_time()
            for path in paths:
                load(dict(img_path=str(path), gt_label=0))
            return (time.process_time() - start) / IMAGES

        seconds = interleave(dict(loading=load_all), rounds, seed, budget_s, report)['loading']
    figures = spread(seconds)
    return [
        dict(
            section='loading',
            config=CONFIG,
            width_px=WIDTH,
            height_px=HEIGHT,
            file_kb=sum(map(len, files)) / IMAGES / 1000,
            images=IMAGES,
            rounds=len(seconds),
            **figures,
            images_per_s_and_core=1 / figures['median_s'],
        )
    ]


def _noise(rng: np.random.Generator, cells: int) -> np.ndarray:
    """(HEIGHT, WIDTH, 3) of normal noise, smooth within cells x cells parts."""
    parts = [Image.fromarray(rng.standard_normal((cells, cells)).astype(np.float32)) for _ in range(3)]
    return np.stack([part.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC) for part in parts], axis=-1)
