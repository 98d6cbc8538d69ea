"""The substitutes for mmcv's compiled ops, through the functions of mmcv.ops."""

import importlib
import json
import math
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
import torchvision
from mmcv.ops import (
    batched_nms,
    carafe,
    deform_conv2d,
    modulated_deform_conv2d,
    nms,
    nms_match,
    roi_align,
    roi_pool,
    sigmoid_focal_loss,
    soft_nms,
    softmax_focal_loss,
)
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction
from mmdet.models.layers import multiclass_nms
from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss

from mixpro_mm.utils.mmcv_ops import extension
from tests.utils.mmcv_ops.cases import GOLDEN, draw, draw_boxes, draw_rois, draw_scores, results, summary

INSTALLED = importlib.import_module('mmcv._ext')
HALF = (torch.float16, torch.bfloat16)
DEVICES = ['cpu', pytest.param('cuda', marks=pytest.mark.cuda)]


@pytest.fixture(autouse=True)
def substituted(monkeypatch):
    """Let all of mmcv.ops call the substitutes, also where mmcv is compiled."""
    for name, module in list(sys.modules.items()):
        if name.startswith('mmcv.ops.') and hasattr(module, 'ext_module'):
            monkeypatch.setattr(module, 'ext_module', extension)


def close(value, expected, rtol=1e-5, atol=1e-5):
    torch.testing.assert_close(value, expected, rtol=rtol, atol=atol)


def test_golden_values():
    stored = json.loads(GOLDEN.read_text())['results']
    found = results()
    assert found.keys() == stored.keys() and len(stored) > 90
    for name, value in found.items():
        exact = dict(rel=0, abs=0) if not value.is_floating_point() else dict(rel=1e-5, abs=1e-5)
        each = summary(value)
        assert each['shape'] == stored[name]['shape'], name
        assert each['values'] == pytest.approx(stored[name]['values'], **exact), name
        assert each['sum'] == pytest.approx(stored[name]['sum'], rel=1e-5, abs=1e-4), name


@pytest.mark.skipif(not INSTALLED.__file__.endswith('.so'), reason='mmcv is not compiled here')
def test_the_compiled_ops_give_the_same(monkeypatch):
    ours = results()
    ties = [random_ties(seed) for seed in range(100)]
    kept = [(nms(*each, 0.3)[1], nms_match(torch.cat((each[0], each[1][:, None]), 1), 0.3)) for each in ties]
    monkeypatch.undo()
    for name, expected in results().items():
        if 'roi_align' in name or not expected.is_floating_point():
            assert torch.equal(ours[name], expected), name
        else:
            close(ours[name], expected, atol=1e-6)
    for each, (indices, groups) in zip(ties, kept, strict=True):
        assert torch.equal(nms(*each, 0.3)[1], indices)
        for group, expected in zip(groups, nms_match(torch.cat((each[0], each[1][:, None]), 1), 0.3), strict=True):
            assert torch.equal(group, expected)


def random_ties(seed):
    """Return boxes (40, 4) on a grid of 10 pixels and scores in steps of 1/4."""
    return draw_boxes(seed, 40).div(10).round() * 10, draw_scores(seed, 40).mul(4).round() / 4


def plain_nms(boxes, scores, threshold, offset=0):
    """Return the kept indices by two loops, in float32."""
    order, kept = scores.sort(descending=True).indices.tolist(), []
    boxes = boxes.float().numpy()
    size = np.float32(offset)
    areas = (boxes[:, 2] - boxes[:, 0] + size) * (boxes[:, 3] - boxes[:, 1] + size)
    for index in order:
        for other in kept:
            low, high = np.maximum(boxes[index, :2], boxes[other, :2]), np.minimum(boxes[index, 2:], boxes[other, 2:])
            width, height = np.maximum(high - low + size, np.float32(0))
            union = areas[index] + areas[other] - width * height
            if union > 0 and width * height / union > np.float32(threshold):
                break
        else:
            kept.append(index)
    return kept


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('threshold', [0.25, 0.5, 0.6, 0.7])
def test_nms_agrees_with_two_loops(threshold, offset):
    """Thresholds and boxes on a grid, so that IoU equals the threshold in many pairs."""
    for seed in range(20):
        for boxes, scores in ((draw_boxes(seed, 40), draw_scores(seed, 40)), random_ties(seed)):
            dets, kept = nms(boxes, scores, threshold, offset)
            assert kept.tolist() == plain_nms(boxes, scores, threshold, offset)
            assert torch.equal(dets, torch.cat((boxes, scores[:, None]), 1)[kept])


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('dtype', HALF)
def test_nms_in_half_precision_is_that_of_the_rounded_boxes(dtype, device):
    boxes, scores = draw_boxes(0, 40).to(device, dtype), draw_scores(0, 40).to(device, dtype)
    dets, kept = nms(boxes, scores, 0.3)
    assert dets.dtype == dtype and kept.tolist() == nms(boxes.float(), scores.float(), 0.3)[1].tolist()
    dets, kept = soft_nms(boxes, scores, 0.3)
    expected, same = soft_nms(boxes.float(), scores.float(), 0.3)
    assert kept.tolist() == same.tolist()
    close(dets, expected.to(dtype), rtol=1e-2, atol=1e-3)


def test_nms_by_class():
    """Boxes of other classes are not removed; class-agnostic boxes are."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 9, 10], [20, 20, 30, 30]], requires_grad=True)
    scores, classes = torch.tensor([0.9, 0.8, 0.7, 0.1]), torch.tensor([0, 1, 0, 1])
    config = dict(type='nms', iou_threshold=0.5)
    assert batched_nms(boxes, scores, classes, config)[1].tolist() == [0, 1, 3]
    assert batched_nms(boxes, scores, classes, config, class_agnostic=True)[1].tolist() == [0, 3]
    by_class = F.one_hot(classes, 3).float() * scores[:, None]  # the last class is the background
    dets, labels, kept = multiclass_nms(boxes, by_class, 0.05, config, return_inds=True)
    assert dets[:, 4].tolist() == pytest.approx([0.9, 0.8, 0.1]) and labels.tolist() == [0, 1, 1]
    assert [index // 2 for index in kept.tolist()] == [0, 1, 3]


def test_soft_nms_by_hand():
    """IoU 0.5 with the first box."""
    boxes, scores = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5]], requires_grad=True), torch.tensor([0.9, 0.8])
    expected = dict(naive=0.0, linear=0.4, gaussian=0.8 * math.exp(-0.25 / 0.5))
    for method, score in expected.items():
        dets, kept = soft_nms(boxes, scores, 0.3, 0.5, 0.0, method)
        assert dets[:, 4].tolist() == pytest.approx([0.9, score]) and kept.tolist() == [0, 1]
    assert soft_nms(boxes[:0], scores[:0])[1].tolist() == [] == nms_match(torch.zeros(0, 5), 0.5)


def plain_roi_align(features, roi, bins, scale, ratio, aligned):
    """Return the averages (C, *bins) of bilinear samples by loops, in float64."""
    height, width = features.shape[2:]
    plane = features[int(roi[0])].double()
    x1, y1, x2, y2 = (roi[1:].double() * scale - 0.5 * aligned).tolist()
    high, wide = (y2 - y1, x2 - x1) if aligned else (max(y2 - y1, 1), max(x2 - x1, 1))
    rows, columns = (ratio or math.ceil(size / count) for size, count in zip((high, wide), bins, strict=True))
    pooled = torch.zeros(len(plane), *bins, dtype=torch.float64)
    for i, j in np.ndindex(*bins):
        for row, column in np.ndindex(rows, columns):
            y = y1 + (i + (row + 0.5) / rows) * high / bins[0]
            x = x1 + (j + (column + 0.5) / columns) * wide / bins[1]
            if -1 <= y <= height and -1 <= x <= width:
                y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
                for cell_y, cell_x in np.ndindex(2, 2):
                    at_y, at_x = min(int(y) + cell_y, height - 1), min(int(x) + cell_x, width - 1)
                    weight = (1 - abs(y - int(y) - cell_y)) * (1 - abs(x - int(x) - cell_x))
                    pooled[:, i, j] += plane[:, at_y, at_x] * weight / (rows * columns)
    return pooled


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('ratio', [0, 2])
def test_roi_align_agrees_with_loops(ratio, aligned):
    features, rois = draw(0, 2, 3, 9, 11), draw_rois(1, 6)
    expected = [plain_roi_align(features, roi, (2, 3), 0.25, ratio, aligned) for roi in rois]
    for each in (features, features.to(memory_format=torch.channels_last)):
        close(roi_align(each, rois, (2, 3), 0.25, ratio, 'avg', aligned).double(), torch.stack(expected))


@pytest.mark.parametrize('device', DEVICES)
def test_gradient_of_roi_align(device):
    features = draw(0, 1, 2, 5, 6).double().to(device).requires_grad_()
    rois = draw_rois(1, 3, 1).double().to(device)
    assert torch.autograd.gradcheck(
        lambda each: roi_align(each, rois, 2, 0.1, 0, 'avg', True), features, nondet_tol=1e-9
    )


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('dtype', HALF)
def test_half_precision_is_computed_in_float32(dtype, device):
    """The result is the rounded one of the rounded inputs."""
    rois = draw_rois(1, 3).to(device, dtype)
    inputs = dict(maps=draw(0, 2, 4, 9, 11), offset=draw(1, 2, 18, 9, 11), mask=draw(2, 2, 9, 9, 11))
    inputs |= dict(weight=draw(3, 4, 4, 3, 3), bias=draw(4, 4), logits=draw(5, 6, 4))
    given = {name: value.to(device, dtype).requires_grad_() for name, value in inputs.items()}
    full = {name: value.detach().float().requires_grad_() for name, value in given.items()}
    target = torch.tensor([0, 1, 2, 3, 4, 0], device=device)

    def compute(maps, offset, mask, weight, bias, logits):
        yield roi_align(maps, rois.to(maps), (2, 3), 0.2, 2, 'avg', True)
        yield roi_pool(maps, rois.to(maps), (2, 3), 0.2)
        yield deform_conv2d(maps, offset, weight, 1, 1)
        yield modulated_deform_conv2d(maps, offset, mask, weight, bias, 1, 1)
        yield sigmoid_focal_loss(logits, target, 2.0, 0.25, None, 'none')
        yield softmax_focal_loss(logits, target.clamp(max=3), 2.0, 0.25, None, 'sum')

    for low, high in zip(compute(**given), compute(**full), strict=True):
        assert low.dtype == dtype
        close(low.float(), high.to(dtype).float(), rtol=2**-6, atol=2**-8)
        for name in given:
            grads = [torch.autograd.grad(each.sum(), every[name], retain_graph=True, allow_unused=True)[0]
                     for each, every in ((low, given), (high, full))]  # fmt: skip
            if grads[1] is not None:
                close(grads[0].float(), grads[1].to(dtype).float(), rtol=2**-5, atol=2**-5)


def plain_roi_pool(features, roi, bins, scale):
    """Return the maxima (C, *bins) with the bins of mmcv's kernel, by loops."""
    height, width = features.shape[2:]
    x1, y1, x2, y2 = (
        float(roi[1]) * scale,
        float(roi[2]) * scale,
        (float(roi[3]) + 1) * scale,
        (float(roi[4]) + 1) * scale,
    )
    pooled = features.new_zeros(features.shape[1], *bins)
    for i, j in np.ndindex(*bins):
        top, bottom = math.floor(y1 + i * (y2 - y1) / bins[0]), math.ceil(y1 + (i + 1) * (y2 - y1) / bins[0])
        left, right = math.floor(x1 + j * (x2 - x1) / bins[1]), math.ceil(x1 + (j + 1) * (x2 - x1) / bins[1])
        cells = features[int(roi[0]), :, max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
        if x2 > x1 and y2 > y1 and cells.numel():
            pooled[:, i, j] = cells.amax((1, 2))
    return pooled


@pytest.mark.parametrize('device', DEVICES)
def test_roi_pool_agrees_with_loops_and_its_gradient_goes_to_the_maxima(device):
    outside = torch.tensor([[0.0, -90, -90, -50, -50], [1, 9, 9, 5, 5], [1, 20, 10, 900, 800]])
    rois = torch.cat((draw_rois(1, 5), outside))
    features = draw(0, 2, 3, 9, 11)
    leaf = features.to(device).requires_grad_()
    pooled = roi_pool(leaf, rois.to(device), (2, 3), 0.2)
    expected = torch.stack([plain_roi_pool(features, roi, (2, 3), 0.2) for roi in rois])
    assert torch.equal(pooled.cpu(), expected) and (expected[-2] == 0).all() and (expected[-1, :, 0, 0] > 0).all()
    (grad,) = torch.autograd.grad(pooled.square().sum(), leaf)
    loops = features.clone().requires_grad_()
    by_loops = torch.stack([plain_roi_pool(loops, roi, (2, 3), 0.2) for roi in rois])
    close(grad.cpu(), torch.autograd.grad(by_loops.square().sum(), loops)[0])


@pytest.mark.parametrize('device', DEVICES)
def test_gradient_of_roi_pool_sums_in_float32(device):
    """In float16, 2048 + 1 is 2048."""
    features = torch.ones(1, 1, 1, 1, dtype=torch.float16, device=device, requires_grad=True)
    rois = torch.zeros(3000, 5, dtype=torch.float16, device=device)
    assert torch.autograd.grad(roi_pool(features, rois, 1, 1.0).sum(), features)[0].item() == 3000


@pytest.mark.parametrize('device', DEVICES)
def test_deformable_convolution_moves_its_samples(device):
    """With offsets of whole cells it is the convolution of a shifted image."""
    maps, weight, bias = draw(0, 2, 4, 8, 7).to(device), draw(1, 6, 2, 3, 3).to(device), draw(2, 6).to(device)
    offset = torch.tensor([1.0, -2.0], device=device).repeat(9)[None, :, None, None].expand(2, 18, 6, 5)  # y, x
    shifted = F.pad(maps, (2, -2, -1, 1))
    close(deform_conv2d(maps, offset, weight, 1, 0, 1, 2), F.conv2d(shifted, weight, groups=2))
    mask = torch.full((2, 9, 6, 5), 0.5, device=device)
    close(
        modulated_deform_conv2d(maps, offset, mask, weight, bias, 1, 0, 1, 2),
        F.conv2d(shifted, weight / 2, bias, groups=2),
    )


def test_gradients_of_deformable_convolution():
    shapes = dict(maps=(1, 2, 4, 4), offset=(1, 18, 2, 2), mask=(1, 9, 2, 2), weight=(2, 2, 3, 3), bias=(2,))
    maps, offset, mask, weight, bias = (
        draw(seed, *shape).double().requires_grad_() for seed, shape in enumerate(shapes.values())
    )
    assert torch.autograd.gradcheck(deform_conv2d, (maps, offset, weight))
    assert torch.autograd.gradcheck(modulated_deform_conv2d, (maps, offset, mask, weight, bias))


@pytest.mark.parametrize('device', DEVICES)
def test_sigmoid_focal_loss_agrees_with_its_formula_in_pytorch(device):
    logits, target = draw(0, 8, 3).mul(3).to(device), torch.tensor([0, 1, 2, 3, 0, 1, 2, 3], device=device)
    weight = torch.tensor([0.5, 1.0, 2.0], device=device)
    one_hot = F.one_hot(target, 4)[:, :3]  # 3 is the background
    for gamma, alpha in ((2.0, 0.25), (1.5, 0.6)):
        mine, theirs = (logits.clone().requires_grad_() for _ in range(2))
        loss = sigmoid_focal_loss(mine, target, gamma, alpha, None, 'none')
        expected = py_sigmoid_focal_loss(theirs, one_hot, gamma=gamma, alpha=alpha, reduction='none')
        close(loss, expected)
        close(torch.autograd.grad(loss.sum(), mine)[0], torch.autograd.grad(expected.sum(), theirs)[0])
        weighted = sigmoid_focal_loss(mine, target, gamma, alpha, weight, 'none')
        close(weighted, expected * torch.tensor([0.5, 1, 2, 1], device=device)[target][:, None])
    double = logits.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda each: sigmoid_focal_loss(each, target, 2.0, 0.25, weight.double()), double)
    empty = logits[:0].requires_grad_()
    sigmoid_focal_loss(empty, target[:0], 2.0, 0.25, None, 'sum').backward()
    assert empty.grad.shape == (0, 3)


@pytest.mark.parametrize('device', DEVICES)
def test_softmax_focal_loss_agrees_with_its_formula_in_pytorch(device):
    logits, target = draw(0, 8, 3).to(device), torch.tensor([0, 1, 2, -1, 0, 1, 2, -1], device=device)
    weight = torch.tensor([0.5, 1.0, 2.0], device=device)
    mine, theirs = (logits.clone().requires_grad_() for _ in range(2))
    log_p = F.log_softmax(theirs, 1).gather(1, target.clamp(0)[:, None])[:, 0]
    expected = -0.25 * (1 - log_p.exp()) ** 2 * log_p * weight[target.clamp(0)] * (target >= 0)
    close(softmax_focal_loss(mine, target, 2.0, 0.25, weight, 'none'), expected)
    loss = softmax_focal_loss(mine, target, 2.0, 0.25, weight, 'mean')
    close(loss, expected.mean())
    close(torch.autograd.grad(loss, mine)[0], torch.autograd.grad(expected.mean(), theirs)[0])
    double = logits.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda each: softmax_focal_loss(each, target, 2.0, 0.25, weight.double()), double)


@pytest.mark.parametrize('device', DEVICES)
def test_deformable_attention_samples_and_weights_values(device):
    """At the centers of cells, samples are the values of the cells."""
    shapes = torch.tensor([[4, 5], [2, 3]], device=device)
    value = draw(0, 1, 26, 2, 3).double().to(device).requires_grad_()
    rows, columns = torch.tensor([[1, 0], [3, 1]]), torch.tensor([[2, 2], [4, 0]])  # queries x levels
    centers = torch.stack(((columns + 0.5) / torch.tensor([5, 3]), (rows + 0.5) / torch.tensor([4, 2])), -1)
    locations = centers[None, :, None, :, None].repeat(1, 1, 2, 1, 1, 1).double().to(device).requires_grad_()
    weights = draw(1, 1, 2, 2, 2, 1).double().to(device).requires_grad_()
    starts = torch.tensor([0, 20], device=device)

    def attend(value, locations, weights):
        return MultiScaleDeformableAttnFunction.apply(value, shapes, starts, locations, weights, 64)

    cells = rows * torch.tensor([5, 3]) + columns + torch.tensor([0, 20])
    expected = (value[0, cells.to(device)].permute(0, 2, 1, 3) * weights[0]).sum(2).flatten(1)  # queries, heads, levels
    close(attend(value, locations, weights)[0], expected)
    moved = (locations.detach() + 0.01).requires_grad_()  # away from the kinks of bilinear sampling
    assert torch.autograd.gradcheck(attend, (value, moved, weights))


def test_ops_that_torchvision_lacks_say_so():
    with pytest.raises(
        NotImplementedError, match=r"no equivalent of the op 'carafe_forward' of mmcv; compile mmcv.*pip in"
    ):
        carafe(torch.zeros(1, 4, 4, 4), torch.zeros(1, 9, 8, 8), 3, 1, 2)
    with pytest.raises(NotImplementedError, match="pool_mode='max'; use 'avg', or compile mmcv"):
        roi_align(torch.zeros(1, 4, 4, 4), torch.zeros(1, 5), 2, 1.0, 0, 'max', True)
    assert not hasattr(extension, '__path__')


def test_versions_for_logs(monkeypatch):
    assert extension.get_compiler_version() == f'none, ops of torchvision {torchvision.__version__}'
    assert extension.get_compiling_cuda_version() == (torch.version.cuda or 'not available')
    monkeypatch.setattr(torchvision.version, 'cuda', None)
    assert extension.get_compiling_cuda_version() == 'not available'
