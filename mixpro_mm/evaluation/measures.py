"""Names of the metrics of mmpretrain, mmseg and mmdet in results."""

__all__ = ['METRIC_NAMES', 'PROBES']

# name in the toolkit -> (task, name in results, factor to percent)
METRIC_NAMES = {
    'accuracy/top1': ('classification', 'top1', 1.0),
    'mIoU': ('segmentation', 'mIoU', 1.0),
    **{
        f'coco/{kind}_mAP{threshold}': ('detection', f'{kind}_mAP{threshold}', 100.0)
        for kind in ('bbox', 'segm')
        for threshold in ('', '_50', '_75')
    },
}
# of ProbeTestLoop with its default numbers of neighbors
PROBES = [f'probe/{start}knn_{k}' for start in ('', 'random/') for k in (10, 20, 100, 200)]
PROBES += ['probe/linear', 'probe/random/linear']
