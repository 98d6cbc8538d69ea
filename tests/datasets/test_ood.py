import numpy as np
from mmengine.dataset import default_collate
from mmpretrain.models import ClsDataPreprocessor
from mmpretrain.registry import DATASETS
from PIL import Image

KNOWN = dict(type='mixpro_mm.Digits', split='test', indices=3, pipeline=[dict(type='PackInputs')])
READ = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]


def test_images_below_a_folder_are_unknown(tmp_path):
    for number, name in enumerate(('a.png', 'deep/er/b.jpg', 'deep/c.png')):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((32, 32, 3), 40 * number, np.uint8)).save(tmp_path / name)
    (tmp_path / 'notes.txt').touch()
    unknown = dict(type='CustomDataset', data_root=str(tmp_path), with_label=False, pipeline=READ)
    dataset = DATASETS.build(dict(type='mixpro_mm.OODDataset', known=KNOWN, unknown=unknown))
    samples = [item['data_samples'] for item in dataset]
    assert [sample.ood for sample in samples] == [0, 0, 0, 1, 1, 1]
    assert [sample.img_path[len(str(tmp_path)) + 1 :] for sample in samples[3:]] == [
        'a.png',
        'deep/c.png',
        'deep/er/b.jpg',
    ]
    assert dataset.metainfo['classes'] == tuple('0123456789')
    data = ClsDataPreprocessor(num_classes=10)(default_collate([dataset[index] for index in range(6)]))
    assert data['inputs'].shape == (6, 3, 32, 32) and [each.ood for each in data['data_samples']] == [0, 0, 0, 1, 1, 1]
