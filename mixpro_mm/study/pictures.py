"""Pictures of a finished study: mixed images with their class attention, and what the transferred models predict."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from PIL import Image

from mixpro_mm.attention import parse_attention
from mixpro_mm.files import read_json
from mixpro_mm.labeling import LabelWeights
from mixpro_mm.labeling.rules import build_labeling
from mixpro_mm.mixing import MixedTarget
from mixpro_mm.registry import BATCH_AUGMENTS
from mixpro_mm.reporting.labels import label
from mixpro_mm.reporting.pictures import detection_panel, mix_panel, segmentation_panel
from mixpro_mm.study.plan import Plan, Stage
from mixpro_mm.study.stage import DONE
from mixpro_mm.visualize.batch import choose_augment, hook_settings, mix, preprocess, weigh
from mixpro_mm.visualize.data import build_dataset
from mixpro_mm.visualize.models import load_model, read_config, to_rgb

__all__ = ['draw_pictures']

COLUMNS, SCENES, MIN_SCORE = 8, 5, 0.3
PICTURES = 6  # of a task at most


def draw_pictures(plan: Plan, work_dir: Path) -> list[dict]:
    """Draw what there is to show of the finished stages, at most six pictures a task, in the order of the study.

    Classification has a picture for every stage that mixes by a method of this package; segmentation and detection
    have one for every backbone. Whatever goes wrong costs that one picture.

    Returns:
        For the report: dicts of ``path``, ``title`` and ``caption``; or of ``note``, a sentence about what was left
        out or could not be drawn.
    """
    folder = work_dir / 'figures'
    folder.mkdir(exist_ok=True)
    finished = [stage for stage in plan.stages if stage.config and (work_dir / stage.name / DONE).is_file()]
    pictures, datasets = [], {}
    for task, draw in PANELS.items():
        groups = _groups(task, finished)
        for same in groups[:PICTURES]:
            what = same[0].name if task == 'classification' else re.sub(r'[^a-z0-9.-]+', '-', same[0].backbone.lower())
            path = folder / f'{"mixed" if task == "classification" else task}-{what}.png'
            try:
                pictures.append(draw(same, plan, path, partial(_load, work_dir=work_dir, datasets=datasets)))
            except Exception as error:  # of a config, a checkpoint, the data or a toolkit: the numbers stand without it
                reason = ' '.join(str(error).split())[:200]
                pictures.append(dict(note=f'{path.name} could not be drawn: {type(error).__name__}: {reason}'))
        if len(groups) > PICTURES:
            kind = 'stages that mix images' if task == 'classification' else f'backbones with {task}'
            pictures.append(dict(note=f'Shown are the first {PICTURES} of {len(groups)} {kind}.'))
    return pictures


def _groups(task: str, finished: list[Stage]) -> list[list[Stage]]:
    """The stages of a task, those together that share a picture."""
    stages = [stage for stage in finished if stage.task == task]
    if task == 'classification':
        return [[stage] for stage in stages if _mixes(stage)]
    rows: dict[str, list[Stage]] = {}
    for stage in stages:
        rows.setdefault(stage.backbone, []).append(stage)
    return list(rows.values())


def _mixes(stage: Stage) -> bool:
    """Whether its config has an augment of this package; nothing is built to know it."""
    try:
        settings = Config.fromfile(stage.config).model.get('train_cfg') or {}
        augments = settings.get('augments') or []
        augments = augments if isinstance(augments, list | tuple) else [augments]
        types = [augment['type'] for augment in augments]
        return any(hasattr(BATCH_AUGMENTS.get(kind) if isinstance(kind, str) else kind, 'take') for kind in types)
    except Exception:  # a config that cannot be read any more: drawing it tells why
        return True


def _load(stage: Stage, work_dir: Path, datasets: dict):
    """Config and model of a finished stage, the model in evaluation mode, and its test data, indexed once for all."""
    config = read_config(stage.config)
    model = load_model(config, read_json(work_dir / stage.name / DONE)['checkpoint'])
    key = config.default_scope, repr(config.test_dataloader.dataset)
    if key not in datasets:
        datasets[key] = build_dataset(config, 'test')
    return config, model, datasets[key]


def _mixed(stages: list[Stage], plan: Plan, path: Path, load: Callable) -> dict:
    (stage,) = stages
    config, model, dataset = load(stage)
    torch.manual_seed(plan.seed)
    index = torch.randperm(len(dataset))[:COLUMNS].tolist()
    images, scores = preprocess(model, [dataset[i] for i in index])
    found = mix(model, config, choose_augment(model), images, scores, shown=COLUMNS)
    weights, maps = weigh(model, config, found)
    rows = {
        'original': to_rgb(model.data_preprocessor, images),
        'mask': [mask[0].numpy() for mask in found.target.mask],
        'mixed': to_rgb(model.data_preprocessor, found.mixed),
    }
    shown, settings = 'the mask (bright: the image itself) and the mixed image', hook_settings(config)
    if maps is not None:
        rows['attention'] = [row.numpy() for row in maps]
        reading, place = parse_attention(settings['attention'])
        kind = 'class attention' if reading == 'class' else 'attention, mean over queries,'
        shown = f'the mask (bright: the image itself), the mixed image and the {kind} of {place or "the last block"}'
    mix_panel(rows, _titles(found.target, weights), path)
    several = len({s.pretraining for s in plan.stages if (s.task, s.backbone) == (stage.task, stage.backbone)}) > 1
    name = f'{stage.backbone}, {label(stage.pretraining)}' if several else stage.backbone
    return dict(
        path=str(path),
        title=f'{name}: mixed images' + (' and class attention' if 'class attention' in shown else ''),
        caption=f'Held-out images, {shown}. Above each column: own label | partner, and the weight of the own label. '
        + _means(build_labeling(settings['labeling']), weights),
    )


def _titles(target: MixedTarget, weights: LabelWeights) -> list[str]:
    """Own label | partner over the weight of the own label, as the loss was given it."""
    lam = weights.lam
    if lam is None:
        lam = target.lam_area if target.weights is None else target.weights[:, 0]
    own, partner = target.scores.argmax(1), target.partner_scores.argmax(1)
    return [f'{a} | {b}\n{c:.2f}' for a, b, c in zip(own.tolist(), partner.tolist(), lam.tolist(), strict=True)]


def _means(labeling, weights: LabelWeights) -> str:
    """What the weights of the batch come from, in a sentence; a factor only where a labeling has one of its own."""
    names = dict(lam_area='area', lam_attn='attention')
    strategy = getattr(labeling, 'strategy', 'equal')  # the mean of both, as TransMix has it
    if strategy != 'equal':
        names['factor'] = 'learned factor' if strategy == 'learnable' else 'progressive factor'
    found = {name: getattr(weights, key) for key, name in names.items()}
    means = [f'{name} {value.mean().item():.2f}' for name, value in found.items() if value is not None]
    return f'Mean{"s" * (len(means) > 1)} of this batch: {", ".join(means)}.'


def _scene(dataset, index: int) -> tuple[np.ndarray, dict]:
    """A scene as it lies on disk, RGB in [0, 1], and the packed item for the model."""
    item = dataset[index]
    with Image.open(item['data_samples'].img_path) as image:
        return np.asarray(image.convert('RGB')) / 255, item


@torch.no_grad()
def _predict(model, item):
    return model.test_step(pseudo_collate([item]))[0]


def _spread(count: int) -> list[int]:
    return np.linspace(0, count - 1, min(SCENES, count)).round().astype(int).tolist()


def _segmentation(stages: list[Stage], plan: Plan, path: Path, load: Callable) -> dict:
    images, columns = [], {}
    for stage in stages:
        _, model, dataset = load(stage)
        scenes = [_scene(dataset, index) for index in _spread(len(dataset))]
        images = [image for image, _ in scenes]
        columns['ground truth'] = [item['data_samples'].gt_sem_seg.data[0].numpy() for _, item in scenes]
        columns[label(stage.pretraining)] = [_predict(model, item).pred_sem_seg.data[0].numpy() for _, item in scenes]
    palette = np.array(dataset.metainfo['palette'])
    segmentation_panel(images, columns, palette, path)
    ignored = any((labels >= len(palette)).any() for labels in columns['ground truth'])
    return dict(
        path=str(path),
        title=f'Segmentation of held-out scenes, {stages[0].backbone}',
        caption='The scene, its labels, and what the model predicts from each start; every colour is a class.'
        + ' Grey: without a label, not counted.' * ignored,
    )


def _detection(stages: list[Stage], plan: Plan, path: Path, load: Callable) -> dict:
    images, columns = [], {}
    for stage in stages:
        _, model, dataset = load(stage)
        scenes = [_scene(dataset, index) for index in _spread(len(dataset))]
        images = [image for image, _ in scenes]
        columns['ground truth'] = [_instances(item['data_samples'].gt_instances) for _, item in scenes]
        found = [_predict(model, item).pred_instances for _, item in scenes]
        columns[label(stage.pretraining)] = [_instances(instances[instances.scores > MIN_SCORE]) for instances in found]
    names, palette = list(dataset.metainfo['classes']), np.array(dataset.metainfo['palette'])
    detection_panel(images, columns, names, palette, path)
    return dict(
        path=str(path),
        title=f'Detection on held-out scenes, {stages[0].backbone}',
        caption=f'Boxes and masks of the ground truth, and of the predictions with a score above {MIN_SCORE}.',
    )


def _instances(instances) -> dict:
    masks = instances.masks
    masks = masks.numpy() if torch.is_tensor(masks) else masks.to_ndarray()
    boxes = instances.bboxes
    found = dict(
        boxes=getattr(boxes, 'tensor', boxes).numpy(), labels=instances.labels.numpy(), masks=masks.astype(bool)
    )
    return found | (dict(scores=instances.scores.numpy()) if 'scores' in instances else {})


PANELS = dict(classification=_mixed, segmentation=_segmentation, detection=_detection)
