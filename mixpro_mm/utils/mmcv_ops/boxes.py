"""Suppression of overlapping boxes."""

import numpy as np
import torch
import torchvision  # noqa: F401  registers torch.ops.torchvision
from torch import Tensor

__all__ = ['nms', 'nms_match', 'softnms']


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Return the indices (M,) of the kept boxes by descending score.

    Args:
        boxes: ``(x1, y1, x2, y2)`` in pixels (N, 4).
        scores: Scores (N,).
        iou_threshold: Boxes that overlap a better one by more are removed. mmcv compares in float32.
        offset: Added to widths and heights, 0 or 1.
    """
    # torchvision sorts again and keeps this order, in which mmcv has equal scores
    scores, order = scores.float().sort(descending=True)
    boxes = boxes.float().index_select(0, order)  # boxes[order] starts threads at 3000 values, which cost more
    if offset:
        boxes = torch.cat((boxes[:, :2], boxes[:, 2:] + offset), 1)
    return order.index_select(0, torch.ops.torchvision.nms(boxes, scores, float(np.float32(iou_threshold))))


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Soft-NMS (Bodla et al., 2017): write boxes and decayed scores to ``dets`` (N, 5) and return their indices (M,).

    Args:
        boxes: ``(x1, y1, x2, y2)`` in pixels (N, 4), on the CPU as all tensors here.
        scores: Scores (N,).
        dets: Receives M rows.
        iou_threshold: Overlap from which methods 0 and 1 decay.
        sigma: Width of method 2.
        min_score: Boxes below are removed.
        method: 0 sets the score to 0 (naive), 1 multiplies by ``1 - IoU`` (linear), 2 by ``exp(-IoU^2 / sigma)``.
        offset: Added to widths and heights, 0 or 1.
    """
    rows = torch.cat((boxes, scores[:, None]), 1).detach().float().numpy()
    kept, count, first = np.arange(len(rows)), len(rows), 0
    while first < count:
        best = first + rows[first:count, 4].argmax()
        for array in (rows, kept):
            array[[first, best]] = array[[best, first]]
        rest = rows[first + 1 : count]
        iou = _iou(rows[first], rest, offset)
        if method == 2:
            rest[:, 4] *= np.exp(-(iou * iou) / np.float32(sigma))
        else:
            rest[:, 4] *= np.where(iou >= np.float32(iou_threshold), 1 - iou if method else 0, 1).astype(np.float32)
        first += 1
        # mmcv fills the place of a removed box by the last one, which decides between equal scores
        alive = rest[:, 4] >= np.float32(min_score)
        size = int(alive.sum())
        gaps, last = np.flatnonzero(~alive[:size]), size + np.flatnonzero(alive[size:])[::-1]
        for array in (rows, kept):
            array[first + gaps] = array[first + last]
        count = first + size
    dets[:count] = torch.from_numpy(rows[:count])
    return torch.from_numpy(kept[:count])


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Return groups of indices: a kept box, then the boxes it removes, each by descending score.

    Args:
        dets: ``(x1, y1, x2, y2, score)`` on the CPU (N, 5).
        iou_threshold: Boxes that overlap a better one by this much or more are removed.
    """
    order = dets[:, 4].contiguous().sort(descending=True).indices.numpy()
    rows, groups = dets.float().numpy(), []
    while len(order):
        best, order = order[0], order[1:]
        removed = _iou(rows[best], rows[order], 0) >= np.float32(iou_threshold)
        groups.append([best.item(), *order[removed].tolist()])
        order = order[~removed]
    return groups


def _iou(box: np.ndarray, others: np.ndarray, offset: int) -> np.ndarray:
    """Return the IoU (N,) of a box with others, in float32; for two boxes without area 0, not NaN as in mmcv."""
    size = np.minimum(box[2:4], others[:, 2:4]) - np.maximum(box[:2], others[:, :2]) + offset
    shared = size.clip(0).prod(1)
    area, areas = (each[..., 2:4] - each[..., :2] + offset for each in (box, others))
    union = area.prod() + areas.prod(1) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
