"""Which numbers of a stage's test become results, and what they are called there."""

__all__ = ['METRICS', 'MULTI_SCALE', 'OPTIONAL', 'PUBLISHABLE']

MULTI_SCALE = ' (MS)'  # ends the names of what a second test measures, several scales and flips averaged
# what the hosts' metrics report -> (name in the results, factor to percent)
METRICS = {
    'accuracy/top1': ('top1', 1.0),
    'mIoU': ('mIoU', 1.0),
    f'mIoU{MULTI_SCALE}': (f'mIoU{MULTI_SCALE}', 1.0),
    'coco/bbox_mAP': ('bbox_mAP', 100.0),
    'coco/bbox_mAP_50': ('bbox_mAP_50', 100.0),
    'coco/bbox_mAP_75': ('bbox_mAP_75', 100.0),
    'coco/segm_mAP': ('segm_mAP', 100.0),
    'coco/segm_mAP_50': ('segm_mAP_50', 100.0),
    'coco/segm_mAP_75': ('segm_mAP_75', 100.0),
}
# measured at every test, but results only where a published number stands beside them
OPTIONAL = ('bbox_mAP_50', 'bbox_mAP_75', 'segm_mAP_50', 'segm_mAP_75')
PUBLISHABLE = tuple(name for name, _ in METRICS.values())
