"""Pictures of a finished study: mixed images, and predictions of the transferred models."""

import re
from functools import partial
from pathlib import Path

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from PIL import Image

from mixpro_mm.labeling import parse_attention
from mixpro_mm.registry import BATCH_AUGMENTS
from mixpro_mm.report.figures import models
from mixpro_mm.report.figures.canvas import WIDTHS, fit, write_figure
from mixpro_mm.report.figures.images import image_table
from mixpro_mm.report.figures.mixed import choose_augment, hook_settings, mixed_table
from mixpro_mm.report.labels import label
from mixpro_mm.utils.files import read_json

__all__ = ['draw_pictures']

IMAGES, SCENES, MIN_SCORE = 4, 4, 0.3
PICTURES = 6  # per task, at most
GREY = (0.63, 0.63, 0.63)  # pixels without a label


def draw_pictures(plan, work_dir: Path) -> list[dict]:
    """Draw the finished stages of a study: one picture per stage that mixes images, one per transferred backbone.

    Returns:
        Dicts with ``path``, ``title`` and ``caption``. A picture that fails is a dict with ``note``, the reason.
    """
    finished = [stage for stage in plan.stages if stage.config and (work_dir / stage.name / 'done.json').is_file()]
    pictures, load = [], partial(_load, work_dir=work_dir, datasets={})
    for task, kind in dict(classification='mixed', segmentation='segmentation', detection='detection').items():
        groups = {}
        for stage in finished:
            if stage.task == task and (task != 'classification' or _mixes(stage)):
                groups.setdefault(stage.name if task == 'classification' else stage.backbone, []).append(stage)
        for name, same in list(groups.items())[:PICTURES]:
            path = work_dir / 'figures' / re.sub('[^a-z0-9._-]+', '-', f'{kind}-{name}.png'.lower())
            try:
                draw = partial(_mixed, seed=plan.seed) if task == 'classification' else partial(_predictions, task)
                pictures.append(dict(path=str(path)) | draw(same, path, load))
            except Exception as error:  # the report is complete without it
                reason = ' '.join(str(error).split())[:200]
                pictures.append(dict(note=f'{path.name} could not be drawn: {type(error).__name__}: {reason}'))
        if len(groups) > PICTURES:
            what = 'stages that mix images' if task == 'classification' else f'backbones with {task}'
            pictures.append(dict(note=f'Shown are the first {PICTURES} of {len(groups)} {what}.'))
    return pictures


def _mixes(stage) -> bool:
    """Return whether the config has an augment of this package, without building it."""
    try:
        augments = (stage.settings.model.get('train_cfg') or {}).get('augments') or []
        kinds = [each['type'] for each in (augments if isinstance(augments, list | tuple) else [augments])]
        return any(hasattr(BATCH_AUGMENTS.get(kind) if isinstance(kind, str) else kind, 'pop_target') for kind in kinds)
    except Exception:  # drawing fails with the reason
        return True


def _load(stage, work_dir: Path, datasets: dict):
    """Return config, model and test data of a finished stage; stages with the same data share them."""
    config = stage.settings
    init_default_scope(config.get('default_scope') or 'mmpretrain')
    model = models.load_model(config, read_json(work_dir / stage.name / 'done.json')['checkpoint'])
    key = config.default_scope, repr(config.test_dataloader.dataset)
    if key not in datasets:
        datasets[key] = models.build_dataset(config, 'test')
    return config, model, datasets[key]


def _mixed(stages: list, path: Path, load, seed: int) -> dict:
    (stage,) = stages
    config, model, dataset = load(stage)
    write_figure(mixed_table(model, config, choose_augment(model), dataset, IMAGES, seed, WIDTHS['column']), path)
    reading, place = parse_attention((hook_settings(config) or {}).get('attention'))
    kind = 'class attention' if reading == 'class' else 'attention, mean over queries,'
    return dict(
        title=f'Mixed images, {stage.backbone}, {label(stage.pretraining)}',
        caption='Test images, partners, mask (white: the image), mixed images and, if labels depend on it, the '
        f'{kind} of {place or "the last block"}. Below: label weights.',
    )


@torch.no_grad()
def _predictions(task: str, stages: list, path: Path, load) -> dict:
    """Draw a row per test image: the image, its ground truth, and the prediction of each model."""
    seen, columns = set(), {}
    for stage in stages:
        _, model, dataset = load(stage)
        classes, colors = dataset.metainfo['classes'], np.array(dataset.metainfo['palette']) / 255
        paint = partial(_segments if task == 'segmentation' else _instances, colors=colors, seen=seen)
        columns |= {'image': [], 'truth': [], label(stage.pretraining): []}
        for index in np.linspace(0, len(dataset) - 1, min(SCENES, len(dataset))).round().astype(int).tolist():
            item = dataset[index]
            with Image.open(item['data_samples'].img_path) as opened:
                image = np.asarray(opened.convert('RGB')) / 255
            columns['image'].append(image)
            columns['truth'].append(paint(image, item['data_samples'], 'gt_'))
            columns[label(stage.pretraining)].append(paint(image, model.test_step(pseudo_collate([item]))[0], 'pred_'))
    width = max(WIDTHS['column'], 0.65 * len(columns))
    titles = {0: [fit(name, width / len(columns)) for name in columns]}
    legend = {str(classes[i]): colors[i] for i in sorted(seen - {len(classes)})}
    legend |= {'not labelled': GREY} if len(classes) in seen else {}
    rows = [('', list(row)) for row in zip(*columns.values(), strict=True)]
    write_figure(image_table(rows, titles, width=width, legend=legend), path)
    caption = 'Test images, ground truth, and the predictions from each pre-training'
    caption += '.' if task == 'segmentation' else f' with a score above {MIN_SCORE}.'
    return dict(title=f'{label(task)}, {stages[0].backbone}', caption=caption)


def _segments(image: np.ndarray, sample, part: str, colors: np.ndarray, seen: set) -> np.ndarray:
    """Return the class map in colours; ids without a class, such as 255, are grey."""
    ids = np.minimum(sample.get(f'{part}sem_seg').data[0].numpy(), len(colors))
    seen.update(np.unique(ids).tolist())
    return np.array([*colors, GREY])[ids]


def _instances(image: np.ndarray, sample, part: str, colors: np.ndarray, seen: set) -> np.ndarray:
    """Return the image with the masks and boxes of its instances."""
    found, image = sample.get(f'{part}instances'), image.copy()
    if 'scores' in found:
        found = found[found.scores > MIN_SCORE]
    masks = found.masks.numpy() if torch.is_tensor(found.masks) else found.masks.to_ndarray()
    line = max(1, round(max(image.shape) / 100))
    boxes = getattr(found.bboxes, 'tensor', found.bboxes)
    for mask, box, kind in zip(masks.astype(bool), boxes, found.labels, strict=True):
        seen.add(int(kind))
        image[mask] = 0.45 * image[mask] + 0.55 * colors[kind]
        x1, y1, x2, y2 = box.round().int().clamp(min=0).tolist()
        frame = np.zeros(image.shape[:2], dtype=bool)
        frame[y1:y2, x1:x2] = True
        frame[y1 + line : max(y2 - line, y1), x1 + line : max(x2 - line, x1)] = False
        image[frame] = colors[kind]
    return image
