"""Calls of mmcv.ops with fixed inputs. ``python -m tests.utils.mmcv_ops.cases`` stores what compiled ops return."""

import importlib
import json
from pathlib import Path

import mmcv
import numpy as np
import torch

GOLDEN = Path(__file__).with_name('golden.json')


def draw(seed, *shape):
    """Return standard normal numbers, the same in all versions of torch."""
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape).astype(np.float32))


def draw_boxes(seed, count, size=50.0):
    corners = torch.from_numpy(np.random.RandomState(seed).rand(count, 4).astype(np.float32)) * size
    return torch.cat((corners[:, :2], corners[:, :2] + corners[:, 2:] * 0.6), 1)


def draw_scores(seed, count):
    return torch.from_numpy(np.random.RandomState(seed + 100).rand(count).astype(np.float32))


def draw_rois(seed, count, images=2, size=60.0):
    index = torch.from_numpy(np.random.RandomState(seed).randint(0, images, (count, 1)).astype(np.float32))
    return torch.cat((index, draw_boxes(seed, count, size)), 1)


def boxes_cases():
    """Yield name and result of calls of nms and its relatives."""
    from mmcv.ops import batched_nms, nms, nms_match, soft_nms

    boxes, scores, classes = draw_boxes(0, 40), draw_scores(0, 40), torch.arange(40) % 3
    tied_scores = scores.mul(4).round() / 4
    inputs = dict(
        random=(boxes, scores),
        one=(boxes[:1], scores[:1]),
        empty=(boxes[:0], scores[:0]),
        not_contiguous=(torch.cat((boxes, boxes), 1)[::2, 4:], torch.stack((scores, scores), 1)[::2, 0]),
    )
    for name, (each, marks) in inputs.items():
        for options in (dict(), dict(offset=1), dict(score_threshold=0.4), dict(max_num=5)):
            for threshold in (0.2, 0.4):
                label = f'nms {name} {threshold} ' + ''.join(f'{key}={value}' for key, value in options.items())
                yield label.strip(), nms(each, marks, threshold, **options)[1]
    for agnostic in (False, True):
        for split in (10000, 10):
            config = dict(type='nms', iou_threshold=0.4, split_thr=split)
            dets, kept = batched_nms(boxes, scores, classes, config, class_agnostic=agnostic)
            yield f'batched_nms agnostic={agnostic} split_thr={split}', kept
            yield f'batched_nms scores agnostic={agnostic} split_thr={split}', dets[:, 4]
    for method in ('naive', 'linear', 'gaussian'):
        for name, (each, marks) in dict(random=(boxes, scores), ties=(boxes, tied_scores)).items():
            for offset in (0, 1):
                dets, kept = soft_nms(each, marks, 0.3, 0.5, 0.1, method, offset)
                yield f'soft_nms {method} {name} offset={offset}', kept
                yield f'soft_nms scores {method} {name} offset={offset}', dets[:, 4]
    groups = nms_match(torch.cat((boxes, scores[:, None]), 1), 0.2)
    yield 'nms_match', torch.cat(groups)
    yield 'nms_match sizes', torch.tensor([len(group) for group in groups])


def pooling_cases():
    """Yield name and result, or gradient, of calls of roi_align."""
    from mmcv.ops import roi_align

    maps, rois = draw(1, 2, 3, 9, 11), draw_rois(2, 4)
    outside = torch.tensor([[0.0, -30, -30, -10, -10], [1, 0, 0, 0, 0], [1, 20, 10, 90, 80]])
    inputs = dict(
        random=(maps, rois),
        outside=(maps, outside),
        empty=(maps, rois[:0]),
    )
    for name, (features, regions) in inputs.items():
        for aligned in (True, False):
            for ratio in (0, 2):
                leaf = features.clone().requires_grad_()
                pooled = roi_align(leaf, regions, (2, 3), 0.2, ratio, 'avg', aligned)
                weights = draw(3, *pooled.shape[::-1]).permute(3, 2, 1, 0)
                (grad,) = torch.autograd.grad(pooled, leaf, weights)
                yield f'roi_align {name} aligned={aligned} sampling_ratio={ratio}', pooled
                yield f'roi_align gradient {name} aligned={aligned} sampling_ratio={ratio}', grad


def convolution_cases():
    """Yield name and result, or gradient, of calls of both deformable convolutions."""
    from mmcv.ops import deform_conv2d, modulated_deform_conv2d

    settings = dict(plain=((1, 1), (1, 1), (1, 1), 1, 1), groups=((2, 1), (0, 2), (1, 2), 2, 2))
    for name, (stride, padding, dilation, groups, offset_groups) in settings.items():
        sizes = [(n + 2 * p - 2 * d - 1) // s + 1 for n, p, d, s in zip((6, 5), padding, dilation, stride, strict=True)]
        shapes = dict(x=(2, 4, 6, 5), offset=(2, 18 * offset_groups, *sizes), mask=(2, 9 * offset_groups, *sizes))
        shapes |= dict(weight=(4, 4 // groups, 3, 3), bias=(4,))
        given = {key: draw(seed, *shape).requires_grad_() for seed, (key, shape) in enumerate(shapes.items())}
        options = (stride, padding, dilation, groups, offset_groups)
        x, offset, mask, weight, bias = given.values()
        results = {
            'deform_conv2d': (deform_conv2d(x, offset, weight, *options), (x, offset, weight)),
            'modulated_deform_conv2d': (
                modulated_deform_conv2d(x, offset, mask, weight, bias, *options),
                (x, offset, mask, weight, bias),
            ),
            'modulated_deform_conv2d without bias': (
                modulated_deform_conv2d(x, offset, mask, weight, None, *options),
                (x, offset, mask, weight),
            ),
        }
        for op, (output, leaves) in results.items():
            yield f'{op} {name}', output
            grads = torch.autograd.grad(output, leaves, draw(9, *output.shape))
            for leaf, grad in zip(leaves, grads, strict=True):
                key = next(key for key, value in given.items() if value is leaf)
                yield f'{op} {name} gradient of {key}', grad


def results():
    """Return all results by name."""
    return {
        name: value.detach() for cases in (boxes_cases, pooling_cases, convolution_cases) for name, value in cases()
    }


def summary(value):
    """Return the shape, the sum and up to 12 numbers of a tensor; all of indices."""
    flat = value.flatten()
    if not value.is_floating_point():
        return dict(shape=list(value.shape), sum=flat.sum().item(), values=flat.tolist())
    numbers = [
        float(f'{number:.7g}') for number in (flat.double().sum().item(), *flat[:: len(flat) // 12 + 1].tolist())
    ]
    return dict(shape=list(value.shape), sum=numbers[0], values=numbers[1:])


def main():
    extension = importlib.import_module('mmcv._ext')
    assert extension.__file__.endswith('.so'), f'{extension.__file__} is not compiled'
    rows = [f'{json.dumps(name)}: {json.dumps(summary(value))}' for name, value in results().items()]
    version = json.dumps(f'mmcv {mmcv.__version__}, compiled for the CPU')
    GOLDEN.write_text(f'{{"version": {version}, "results": {{\n' + ',\n'.join(rows) + '\n}}\n', encoding='utf-8')


if __name__ == '__main__':
    main()
