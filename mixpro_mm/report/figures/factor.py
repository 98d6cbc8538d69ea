"""The progressive factor over the training, and of the images of one mini-batch at its end (MixPro, Figures 2a, 2b)."""

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib.ticker import MaxNLocator

from mixpro_mm.report.figures.logs import epoch_means
from mixpro_mm.reporting.palette import SHAPES
from mixpro_mm.report.figures.mixed import choose_augment, mix, preprocess, weigh
from mixpro_mm.visualize.curves import plot_means, styles, unit_of
from mixpro_mm.visualize.data import build_dataset, take_items
from mixpro_mm.report.figures.models import load_model, read_config
from mixpro_mm.visualize.paper import legend_above, outputs, panels, save
from mixpro_mm.visualize.runs import Run, checkpoint_of, config_of, read_runs

__all__ = ['draw_factor', 'factors_of_a_batch']


def factors_of_a_batch(run: Run, num: int | None = None, seed: int = 0) -> torch.Tensor:
    """(B,) factors of one mini-batch of training images, mixed as in training, by the last checkpoint of a run.

    Args:
        run: With config and checkpoint in its folder.
        num: B; the batch size of the config if None.
        seed: Of images and mix.

    Raises:
        ValueError: if anything for it is missing, or labels of this run have no factor.
    """
    config = read_config(config_of(run.folder))
    model = load_model(config, checkpoint_of(run.folder))
    items = take_items(build_dataset(config, 'train'), num or config.train_dataloader.batch_size, seed)
    mixed = mix(model, config, choose_augment(model), *preprocess(model, items))
    factor = None if mixed.target is None else weigh(model, config, mixed)[0].factor
    if factor is None:
        raise ValueError(f'the labels of {config.filename} have no factor')
    return factor


def draw_factor(
    work_dirs: Sequence[str], num: int | None = None, seed: int = 0, out: str | None = None, width: str = 'column'
) -> list[Path]:
    """The mean factor of each epoch from the logs, and the factors of one mini-batch, sorted, from the checkpoints.

    A run without what the mini-batch needs has its line in the first panel only, and a sentence on standard error.

    Args:
        work_dirs: ``[NAME=]WORK_DIR`` each.
        num, seed: As of :func:`factors_of_a_batch`.
        out, width: Of the picture.

    Raises:
        ValueError: if a folder holds no log, or no log a factor.
    """
    if num is not None and num < 2:
        raise ValueError(f'--num {num}: a mini-batch that is mixed has two images at least')
    paths, runs = outputs(out, 'factor'), read_runs(work_dirs)
    means = [(run, epoch_means(run.records, 'factor')) for run in runs]
    means = [(run, line) for run, line in means if line[0]]
    if not means:
        raise ValueError('no log of these has a factor: none of the runs was labelled by attention')
    unit, looks, batches = unit_of([run for run, _ in means]), styles(runs), []
    first = {run.name: run for run, _ in reversed(means)}
    for run in (first[name] for name in looks if name in first):  # of repetitions the first
        try:
            batches.append((run, factors_of_a_batch(run, num, seed)))
        except (ValueError, RuntimeError, OSError) as error:
            print(f'{run.name} is not in the panel of the mini-batch: {error}', file=sys.stderr)

    def draw():
        figure, axes = panels(1 + bool(batches), width)
        plot_means(axes[0], means, looks)
        axes[0].set(xlabel=unit, ylabel='factor, mean of the epoch' if unit == 'epoch' else 'factor', ylim=(0, 1.02))
        axes[0].xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
        for place, (run, factors) in enumerate(batches):
            color, ordered = looks[run.name]['color'], factors.sort().values
            axes[1].plot(
                range(1, len(ordered) + 1), ordered.numpy(), linestyle='none', markersize=2.5, color=color,
                marker=SHAPES[place % len(SHAPES)],
            )  # fmt: skip
            axes[1].axhline(float(ordered.mean()), color=color, linewidth=0.8, linestyle=looks[run.name]['linestyle'])
        if batches:
            axes[1].set(xlabel='image of a mini-batch, sorted by factor', ylabel='factor (line: mean)', ylim=(0, 1.02))
            axes[1].xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
        return legend_above(figure)

    return save(draw, paths)
