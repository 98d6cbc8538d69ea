"""A batch as a config mixes it: images, partners, mask, mixed images, labels and their weights (MixPro, Figure 6)."""

from pathlib import Path

import torch
from torch import Tensor

from mixpro_mm.report.figures.images import image_table
from mixpro_mm.report.figures.mixed import choose_augment, mix, preprocess, weigh
from mixpro_mm.visualize.data import build_dataset, class_names, take_items
from mixpro_mm.report.figures.models import build_model, load_model, read_config, to_rgb
from mixpro_mm.visualize.paper import WIDTHS, fit, outputs, save

__all__ = ['draw_mixed']

MARGIN = 0.65  # inches for the names of the rows
LEAST = 16  # images in a batch, so that there is a choice of partners


def draw_mixed(
    config: str,
    checkpoint: str | None = None,
    augment: str | None = None,
    num: int = 4,
    seed: int = 0,
    out: str | None = None,
    width: str = 'column',
) -> list[Path]:
    """Draw training images of a config before and after its own augment, with the weights of their labels.

    The images come through the pipeline of ``train_dataloader`` and the data preprocessor. Without a checkpoint,
    weights are those that the augment gives by itself; with one, also those by attention as at the end of training,
    read in evaluation mode, and the attention is drawn.

    Raises:
        ValueError: if config, checkpoint, data, ``augment`` or ``num`` are of no use.
        RuntimeError: by some augments, if they miss something.
    """
    if not 1 <= num <= 16:
        raise ValueError(f'--num {num}: from 1 to 16 images have room')
    paths, settings = outputs(out, 'mixed'), read_config(config)
    model = load_model(settings, checkpoint) if checkpoint else build_model(settings)
    chosen, dataset = choose_augment(model, augment), build_dataset(settings, 'train')
    images, scores = preprocess(model, take_items(dataset, max(2 * num, LEAST), seed))
    num = min(num, len(images))
    found = mix(model, settings, chosen, images, scores, shown=num).first(num)
    names = class_names(dataset, scores.shape[1])
    inches = (WIDTHS[width] - MARGIN) / num
    own, partner = found.images[:num], found.images[found.partner]
    rows = [(name, to_rgb(model.data_preprocessor, shown)) for name, shown in [('image', own), ('partner', partner)]]
    titles = {
        0: [fit(names[i], inches) for i in scores[:num].argmax(1).tolist()],
        1: [fit(names[i], inches) for i in scores[found.partner].argmax(1).tolist()],
    }
    weights, maps, numbers = found.weights, None, {}
    if found.target is not None:
        rows.append(('mask', [mask[0].numpy() for mask in found.target.mask]))
        numbers['lam_area'] = found.target.lam_area
        if checkpoint:
            labels, maps = weigh(model, settings, found)
            numbers |= {name: getattr(labels, name) for name in ('lam_attn', 'factor')}
            weights = weights if labels.lam is None else torch.stack([labels.lam, 1 - labels.lam], dim=1)
    rows.append(('mixed', to_rgb(model.data_preprocessor, found.mixed)))
    if maps is not None:
        rows.append(('attention', [row.numpy() for row in maps]))
    if checkpoint or found.target is None or found.target.weights is None:  # an untrained teacher has nothing to say
        numbers |= {'own label': weights[:, 0], 'partner label': weights[:, 1]}
    note = fit(_note(chosen, config, checkpoint, seed), WIDTHS[width], lines=4)

    def draw():
        return image_table(rows, titles, _texts(numbers), width=WIDTHS[width], note=note)

    return save(draw, paths)


def _texts(numbers: dict[str, Tensor | None]) -> dict[str, list[str]]:
    return {
        name: [f'{value:.2f}' for value in values.tolist()] for name, values in numbers.items() if values is not None
    }


def _note(augment, config: str, checkpoint: str | None, seed: int) -> str:
    text = f'{type(augment).__name__} of {Path(config).stem}, training images, seed {seed}.'
    if not checkpoint:
        return f'{text} No checkpoint: the model is untrained, what it attends to is left out.'
    return f'{text} Model: {Path(checkpoint).name}.'
