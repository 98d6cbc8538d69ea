"""Predictions of a model for image files, and pictures of a finished study: mixed images and predictions."""

import re
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from PIL import Image
from torchvision.io import decode_image
from torchvision.utils import draw_bounding_boxes, draw_segmentation_masks

from mixpro_mm.hooks.replay import image_augments
from mixpro_mm.report.figures.canvas import WIDTHS, fit, image_table, write_figure
from mixpro_mm.report.figures.mixed import mixed_table
from mixpro_mm.report.labels import label
from mixpro_mm.utils import models
from mixpro_mm.utils.files import read_json

__all__ = ['Predictor', 'draw_pictures']

IMAGES, SCENES, MIN_SCORE = 3, 4, 0.3
GREY = (160, 160, 160)  # pixels without a label


class Predictor:
    """Draw predictions of a model with the weights of a checkpoint, which must have all of its tensors.

    Args:
        config: Config of mmpretrain, mmseg or mmdet.
        checkpoint: Local file. Its names and colors of classes are used, or else those of the config's test data.
        device: Device of the model.
        score: Minimum score of a drawn detection.

    Raises:
        ValueError: The config cannot be read, or the checkpoint does not fit the model.
    """

    def __init__(self, config: str | Path, checkpoint: str | Path, device: str = 'cpu', score: float = MIN_SCORE):
        self.config = models.load_config(config)
        self.model = models.load_model(self.config, checkpoint).to(device)
        self.meta, self.score = models.dataset_meta(self.config, checkpoint), score

    @torch.no_grad()
    def draw(self, file: str | Path):
        """Return a figure of an image and its prediction, and the prediction as text.

        Raises:
            ValueError: The file is not an image, or does not fit the test pipeline.
        """
        sample = self.model.test_step(pseudo_collate([models.read_image(self.config, str(file))]))[0].cpu()
        with Image.open(file) as opened:
            image = torch.from_numpy(np.array(opened.convert('RGB'))).permute(2, 0, 1)
        (classes, colors), seen = self.meta.values(), set()
        name = lambda number: classes[number] if number < len(classes) else f'class {number}'  # noqa: E731
        shown = [image]
        if 'pred_sem_seg' in sample:
            shown.append(_segments(image, sample, 'pred_', colors, seen))
            counts = torch.bincount(sample.pred_sem_seg.data.flatten()).div(sample.pred_sem_seg.data.numel())
            found = [(name(number), f'{counts[number]:.0%}') for number in counts.argsort(descending=True).tolist()]
            found = [f'{each} {part}' for each, part in found if part != '0%']
        elif 'pred_instances' in sample:
            shown.append(_instances(image, sample, 'pred_', colors, seen, self.score))
            instances = sample.pred_instances
            labels = instances.labels[instances.scores > self.score].tolist()
            found = [f'{count} x {name(number)}' for number, count in Counter(labels).most_common()]
        else:
            scores, numbers = sample.pred_score.topk(min(3, len(sample.pred_score)))
            found = [f'{name(n)} {score:.0%}' for n, score in zip(numbers.tolist(), scores.tolist(), strict=True)]
        titles, text = ['image', 'prediction'][: len(shown)], ', '.join(found[:5]) or 'nothing found'
        titles = titles if len(shown) > 1 else [text]
        legend = {name(i): np.array(colors[i]) / 255 for i in sorted(seen)}
        row = ('', [each.permute(1, 2, 0).numpy() / 255 for each in shown])
        return image_table(
            [row], {0: titles}, width=WIDTHS['text' if len(shown) > 1 else 'column'], legend=legend
        ), text


def draw_pictures(plan, work_dir: Path) -> list[dict]:
    """Draw the finished stages of a study: one picture per stage that mixes images, one per transferred backbone.

    Returns:
        Dicts with ``path``, ``title`` and ``caption``. A picture that fails is a dict with ``note``, the reason.
    """
    groups, pictures, load = {}, [], partial(_load, work_dir)
    for stage in plan.stages:
        if stage.config and (work_dir / stage.name / 'done.json').is_file():
            name = f'mixed-{stage.name}' if stage.task == 'classification' else f'{stage.task}-{stage.backbone}'
            groups.setdefault(name, []).append(stage)
    for name, stages in groups.items():
        path = work_dir / 'figures' / re.sub('[^a-z0-9._-]+', '-', f'{name}.png'.lower())
        try:
            mixes = stages[0].task == 'classification'
            picture = _mixed(stages[0], path, load, plan.seed) if mixes else _predictions(stages, path, load)
            pictures += [picture | dict(path=str(path))] if picture else []
        except Exception as error:  # the report is complete without it
            reason = ' '.join(str(error).split())[:200]
            pictures.append(dict(note=f'{path.name} could not be drawn: {type(error).__name__}: {reason}'))
    return pictures


def _load(work_dir: Path, stage):
    """Return config, model and test data of a finished stage."""
    config = stage.settings
    init_default_scope(config.get('default_scope') or 'mmpretrain')
    model = models.load_model(config, read_json(work_dir / stage.name / 'done.json')['checkpoint'])
    return config, model, models.build_dataset(config, 'test')


def _mixed(stage, path: Path, load, seed: int) -> dict | None:
    """Draw images mixed by the first augment that re-weights labels; return None without one."""
    if not stage.settings.model.get('train_cfg'):
        return None
    config, model, dataset = load(stage)
    if not (augments := image_augments(model)):
        return None
    write_figure(mixed_table(model, config, augments[0], dataset, IMAGES, seed, WIDTHS['text']), path)
    caption = 'A test image, its partner, the mask (white: from the image), the mixed image with the weights of both '
    caption += 'labels, and the attention with its weight of the image. Labels follow attention by the factor.'
    return dict(title=f'Mixed images, {stage.backbone}, {label(stage.pretraining)}', caption=caption)


@torch.no_grad()
def _predictions(stages: list, path: Path, load) -> dict:
    """Draw a row per test image: the image, its ground truth, and the prediction of each model."""
    seen, columns, task = set(), {}, stages[0].task
    for stage in stages:
        _, model, dataset = load(stage)
        classes, colors = dataset.metainfo['classes'], [tuple(color) for color in dataset.metainfo['palette']]
        paint = partial(_segments if task == 'segmentation' else _instances, colors=colors, seen=seen)
        columns |= {'image': [], 'truth': [], label(stage.pretraining): []}
        for index in np.linspace(0, len(dataset) - 1, min(SCENES, len(dataset))).round().astype(int).tolist():
            item = dataset[index]
            image = decode_image(str(item['data_samples'].img_path), 'RGB')
            columns['image'].append(image)
            columns['truth'].append(paint(image, item['data_samples'], 'gt_'))
            columns[label(stage.pretraining)].append(paint(image, model.test_step(pseudo_collate([item]))[0], 'pred_'))
    titles = {0: [fit(name, WIDTHS['text'] / len(columns)) for name in columns]}
    names, colors = [*classes, 'not labeled'], np.array([*colors, GREY]) / 255
    legend = {str(names[i]): colors[i] for i in sorted(seen)}
    rows = [('', [each.permute(1, 2, 0).numpy() / 255 for each in row]) for row in zip(*columns.values(), strict=True)]
    write_figure(image_table(rows, titles, width=WIDTHS['text'], legend=legend), path)
    caption = 'Test images, ground truth, and the predictions from each pre-training'
    caption += '.' if task == 'segmentation' else f' with a score above {MIN_SCORE}.'
    return dict(title=f'{label(task)}, {stages[0].backbone}', caption=caption)


def _segments(image: torch.Tensor, sample, part: str, colors: list[tuple], seen: set) -> torch.Tensor:
    """Return the class map in colors (3, H, W); ids without a class, such as 255, are grey."""
    ids = sample.get(f'{part}sem_seg').data[0].long().clamp(max=len(colors))
    seen.update(ids.unique().tolist())
    return torch.tensor([*colors, GREY])[ids].permute(2, 0, 1)


def _instances(image: torch.Tensor, sample, part: str, colors: list[tuple], seen: set, score: float = MIN_SCORE):
    """Return the image (3, H, W) with the masks and boxes of its instances."""
    found = sample.get(f'{part}instances')
    found = found[found.scores > score] if 'scores' in found else found
    if not len(found):
        return image
    seen.update(found.labels.tolist())
    shown, boxes = [colors[i] for i in found.labels.tolist()], getattr(found.bboxes, 'tensor', found.bboxes)
    if 'masks' in found:
        masks = found.masks if torch.is_tensor(found.masks) else torch.from_numpy(found.masks.to_ndarray())
        masks = masks.bool() & (masks.bool().cumsum(0) < 2)  # of the first instance; torchvision blackens overlaps
        image = draw_segmentation_masks(image, masks, alpha=0.55, colors=shown)
    return draw_bounding_boxes(image, boxes, colors=shown, width=max(1, round(max(image.shape) / 100)))
