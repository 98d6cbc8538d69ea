"""Images of known classes together with images of unknown ones."""

from mmpretrain.registry import DATASETS as MMPRETRAIN_DATASETS
from torch.utils.data import ConcatDataset

from mixpro_mm.registry import DATASETS, register

__all__ = ['OODDataset']


@register(DATASETS)
class OODDataset(ConcatDataset):
    """All images of two data sets of mmpretrain, for ``OODMetric``.

    The metainfo of each data sample has ``ood``, 1 for unknown classes, else 0; no sample has a label. The metainfo is
    that of ``known``.

    Args:
        known (dict): Data set of the classes of the model.
        unknown (dict): Data set of other classes, such as ``dict(type='CustomDataset', data_root=FOLDER,
            with_label=False, pipeline=...)`` for all images below a folder. It must not contain known classes.
    """

    def __init__(self, known: dict, unknown: dict):
        super().__init__([MMPRETRAIN_DATASETS.build(each) for each in (known, unknown)])
        self.metainfo = self.datasets[0].metainfo

    def __getitem__(self, index: int) -> dict:
        item = super().__getitem__(index)
        sample = item['data_samples']
        sample.pop('gt_label', None)  # a batch has labels for all images or for none
        sample.set_metainfo(dict(ood=int(index >= self.cumulative_sizes[0])))
        return item
