"""What the metrics of the three toolkits report, and what it is called in results: percent, and one name each."""

__all__ = ['METRIC_NAMES']

# reported -> (task, name in the results, factor to percent)
METRIC_NAMES = {
    'accuracy/top1': ('classification', 'top1', 1.0),
    'mIoU': ('segmentation', 'mIoU', 1.0),
    **{
        f'coco/{kind}_mAP{threshold}': ('detection', f'{kind}_mAP{threshold}', 100.0)
        for kind in ('bbox', 'segm')
        for threshold in ('', '_50', '_75')
    },
}
