"""Pictures of a finished study: mixed images with their class attention, and what the transferred models predict."""

import re
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, MODELS, init_default_scope
from mmengine.runner import load_checkpoint
from PIL import Image
from torch.nn.functional import interpolate

from mixpro_mm.attention import ClassAttentionTap, token_grid
from mixpro_mm.files import read_json
from mixpro_mm.labeling import ProgressiveAttentionLabeling
from mixpro_mm.reporting.pictures import detection_panel, mix_panel, segmentation_panel
from mixpro_mm.reporting.tables import label
from mixpro_mm.study.plan import Plan, Stage
from mixpro_mm.study.stage import DONE

__all__ = ['draw_pictures']

COLUMNS, SCENES, MIN_SCORE = 8, 5, 0.3


def draw_pictures(plan: Plan, work_dir: Path) -> list[dict]:
    """Draw what there is to show of the finished stages.

    Returns:
        For the report: dicts of ``path``, ``title`` and ``caption``.
    """
    folder = work_dir / 'figures'
    folder.mkdir(exist_ok=True)
    stages = [stage for stage in plan.stages if stage.config and (work_dir / stage.name / DONE).is_file()]
    pictures = []
    for stage in stages:
        if stage.task == 'classification':
            path = _mixed(stage, work_dir, folder / f'mixed-{stage.name}.png', plan.seed)
            pictures += [path] if path else []
    for task in ('segmentation', 'detection'):
        rows: dict[str, list[Stage]] = {}
        for stage in stages:
            if stage.task == task:
                rows.setdefault(stage.backbone, []).append(stage)
        for backbone, same in rows.items():
            name = re.sub(r'[^a-z0-9.-]+', '-', backbone.lower())
            pictures.append(PANELS[task](same, work_dir, folder / f'{task}-{name}.png'))
    return pictures


def _load(stage: Stage, work_dir: Path):
    """The model of a finished stage in evaluation mode, and its test data."""
    config = Config.fromfile(stage.config)
    init_default_scope(config.default_scope)
    model_config = config.model
    model_config.get('backbone', {}).pop('init_cfg', None)
    if 'data_preprocessor' in config:  # as Runner does
        model_config.setdefault('data_preprocessor', config.data_preprocessor)
    model = MODELS.build(model_config)
    load_checkpoint(model, read_json(work_dir / stage.name / DONE)['checkpoint'], map_location='cpu')
    model.eval()
    return model, DATASETS.build(config.test_dataloader.dataset)


@torch.no_grad()
def _mixed(stage: Stage, work_dir: Path, path: Path, seed: int) -> dict | None:
    model, dataset = _load(stage, work_dir)
    batch_augments = getattr(model.data_preprocessor, 'batch_augments', None)
    augment = next((a for a in getattr(batch_augments, 'augments', []) if hasattr(a, 'take')), None)
    if augment is None:
        return None
    try:
        tap = ClassAttentionTap(model)
    except ValueError:  # a model without class attention has nothing to show here
        return None
    torch.manual_seed(seed)
    index = torch.randperm(len(dataset))[:COLUMNS].tolist()
    data = model.data_preprocessor(pseudo_collate([dataset[i] for i in index]))
    images, labels = data['inputs'], torch.stack([sample.gt_label for sample in data['data_samples']]).flatten()
    classes = model.data_preprocessor.num_classes or model.head.num_classes  # timm's classifiers have no head
    scores = torch.nn.functional.one_hot(labels, classes).float()
    for _ in range(50):  # until both images of a pair have something to show
        mixed, _ = augment(images, scores)
        target = augment.take()
        if 0.35 < target.lam_area.mean() < 0.65:
            break
    tap.attach()
    logits = model(mixed)
    attention = tap.read()
    tap.release()
    size = tuple(images.shape[2:])
    grid = token_grid(attention.shape[1], size)
    weights = ProgressiveAttentionLabeling()(target, attention, grid, logits)
    maps = interpolate(attention.view(-1, 1, *grid), size, mode='nearest')[:, 0]
    own, partner = target.scores.argmax(1), target.partner_scores.argmax(1)
    titles = [
        f'{a} | {b}\n{lam:.2f}' for a, b, lam in zip(own.tolist(), partner.tolist(), weights.lam.tolist(), strict=True)
    ]
    to_rgb = _to_rgb(model.data_preprocessor)
    rows = {
        'original': [to_rgb(image) for image in images],
        'mask': [mask[0].numpy().astype(float) for mask in target.mask],
        'mixed': [to_rgb(image) for image in mixed],
        'attention': [row.numpy() for row in maps],
    }
    means = {name: getattr(weights, name).mean().item() for name in ('lam_area', 'lam_attn', 'factor')}
    caption = (
        'Held-out images, the mask (bright: the image itself), the mixed image and the class attention of the last '
        'block. Above each column: own label | partner, and the weight of the own label. Means of this batch: '
        f'area {means["lam_area"]:.2f}, attention {means["lam_attn"]:.2f}, progressive factor {means["factor"]:.2f}.'
    )
    mix_panel(rows, titles, path)
    return dict(path=str(path), title=f'{stage.backbone}: mixed images and class attention', caption=caption)


def _to_rgb(preprocessor):
    """A function from a normalised tensor (3, H, W) to an array (H, W, 3) in [0, 1]."""

    def convert(image):
        return ((image * preprocessor.std + preprocessor.mean) / 255).clamp(0, 1).permute(1, 2, 0).numpy()

    return convert


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


def _segmentation(stages: list[Stage], work_dir: Path, path: Path) -> dict:
    images, columns = [], {}
    for stage in stages:
        model, dataset = _load(stage, work_dir)
        scenes = [_scene(dataset, index) for index in _spread(len(dataset))]
        images = [image for image, _ in scenes]
        columns['ground truth'] = [item['data_samples'].gt_sem_seg.data[0].numpy() for _, item in scenes]
        columns[label(stage.pretraining)] = [_predict(model, item).pred_sem_seg.data[0].numpy() for _, item in scenes]
    segmentation_panel(images, columns, np.array(dataset.metainfo['palette']), path)
    return dict(
        path=str(path),
        title=f'Segmentation of held-out scenes, {stages[0].backbone}',
        caption='The scene, its labels, and what the model predicts from each start; every colour is a class.',
    )


def _detection(stages: list[Stage], work_dir: Path, path: Path) -> dict:
    images, columns = [], {}
    for stage in stages:
        model, dataset = _load(stage, work_dir)
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


PANELS = dict(segmentation=_segmentation, detection=_detection)
