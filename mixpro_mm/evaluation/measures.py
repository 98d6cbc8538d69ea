"""Names of the metrics of mmpretrain, mmseg and mmdet in results."""

__all__ = ['METRIC_NAMES', 'PROBE']

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
PROBE = 'probe/'  # prefix of the metrics of ProbeTestLoop
