from mixpro_mm.study.plan import Plan, Stage
from mixpro_mm.study.results import records_of
from mixpro_mm.utils.files import write_json


def test_records_carry_value_and_origin(tmp_path):
    root, work_dir = tmp_path / 'repo', tmp_path / 'work'
    stages = (
        Stage(name='pre', config=str(root / 'a.py'), task='classification', backbone='DeiT', pretraining='mixpro'),
        Stage(name='det', config='/elsewhere/d.py', task='detection', backbone='PVT', pretraining='scratch'),
        Stage(name='cut', config=str(root / 'c.py'), task='segmentation', backbone='DeiT', pretraining='scratch'),
        Stage(name='data', command=('x',)),
    )
    for name, metrics in (('pre', {'accuracy/top1': 95.5}), ('det', {'coco/bbox_mAP': 0.4321, 'coco/segm_mAP': 0.25})):
        (work_dir / name).mkdir(parents=True)
        write_json(work_dir / name / 'done.json', dict(metrics=metrics, checkpoint_sha256=f'hash of {name}'))
    (work_dir / 'data').mkdir()
    write_json(work_dir / 'data' / 'done.json', dict(seconds=1))
    records = records_of(Plan('t', stages, seed=7, jobs=1, config=''), work_dir, root)
    assert records == [
        dict(task='classification', backbone='DeiT', pretraining='mixpro', metric='top1', value=95.5, seed=7,
             config='a.py', checkpoint_sha256='hash of pre'),
        dict(task='detection', backbone='PVT', pretraining='scratch', metric='bbox_mAP', value=43.21, seed=7,
             config='/elsewhere/d.py', checkpoint_sha256='hash of det'),
        dict(task='detection', backbone='PVT', pretraining='scratch', metric='segm_mAP', value=25.0, seed=7,
             config='/elsewhere/d.py', checkpoint_sha256='hash of det'),
    ]  # fmt: skip


def test_records_carry_the_cell_and_the_data_their_stage_names(tmp_path):
    cell = dict(table='table2', row='mixpro', column='top1', data='digits')
    stage = Stage(name='a', config='/c.py', task='classification', backbone='DeiT', pretraining='mixpro', **cell)
    (tmp_path / 'a').mkdir()
    write_json(tmp_path / 'a' / 'done.json', dict(metrics={'accuracy/top1': 9.0}, checkpoint_sha256='x'))
    (record,) = records_of(Plan('t', (stage,), seed=0, jobs=1, config=''), tmp_path, tmp_path)
    assert record.items() >= cell.items()


def test_published_numbers_go_along_and_bring_their_metric(tmp_path):
    published = {'bbox_mAP': 41.4, 'bbox_mAP_50': 64.2, 'segm_mAP_75': 41.7}
    row = dict(config='/c.py', backbone='PVT', pretraining='mixpro')
    stages = (
        Stage(name='det', task='detection', published=published, **row),
        Stage(name='seg', task='segmentation', published={'mIoU (MS)': 51.6}, **row),
    )
    measured = {'coco/bbox_mAP': 0.4, 'coco/bbox_mAP_50': 0.6, 'coco/bbox_mAP_75': 0.5, 'coco/segm_mAP': 0.3}
    for name, metrics in (('det', measured), ('seg', {'mIoU': 50.5, 'mIoU (MS)': 51.0, 'aAcc (MS)': 80.0})):
        (tmp_path / name).mkdir()
        write_json(tmp_path / name / 'done.json', dict(metrics=metrics, checkpoint_sha256='x'))
    records = records_of(Plan('t', stages, seed=0, jobs=1, config=''), tmp_path, tmp_path)
    # bbox_mAP_75 was measured, but nothing was published for it; segm_mAP_75 was published, but not measured
    assert [(record['metric'], record['value'], record.get('published')) for record in records] == [
        ('bbox_mAP', 40.0, 41.4), ('bbox_mAP_50', 60.0, 64.2), ('segm_mAP', 30.0, None),
        ('mIoU', 50.5, None), ('mIoU (MS)', 51.0, 51.6),
    ]  # fmt: skip
    assert 'published' not in records[2]


def test_further_tests_become_records_of_robustness(tmp_path):
    """Each with the seed of its stage and the config of its test; of a curve the points and their mean."""
    tests = dict(A='/r/a.py', occlusion='/r/occ.py')
    stage = Stage(
        name='pre', config='/c.py', task='classification', backbone='DeiT', pretraining='mixpro', seed=4,
        evaluations=tests, published=dict(A_aurra=32.4),
    )  # fmt: skip
    metrics = {
        'accuracy/top1': 90.0,
        'A/calibration/top1': 12.34567,
        'A/calibration/aurra': 20.0,
        'A/calibration/ece': 7.0,  # measured, but no result
        'O/ood/aupr': 50.0,  # of a test the stage no longer names
        'occlusion/calibration/ece': 3.0,
        'occlusion/accuracy/top1': 90.0,
    }
    (tmp_path / 'pre' / 'occlusion').mkdir(parents=True)
    write_json(tmp_path / 'pre' / 'done.json', dict(metrics=metrics, checkpoint_sha256='x'))
    points = [dict(ratio=0.5, information_loss=q, top1=top1, std=None) for q, top1 in ((0.0, 90.0), (0.4951, 45.5))]
    write_json(tmp_path / 'pre' / 'occlusion' / 'occlusion.json', dict(curves={'random': points}))
    records = records_of(Plan('t', (stage,), seed=0, jobs=1, config=''), tmp_path, tmp_path)
    found = {r['metric']: (r['task'], r['value'], r['config']) for r in records}
    assert found == {
        'top1': ('classification', 90.0, '/c.py'),
        'ece': ('robustness', 3.0, '/r/occ.py'),
        'A_top1': ('robustness', 12.3457, '/r/a.py'),
        'A_aurra': ('robustness', 20.0, '/r/a.py'),
        'occlusion_random': ('robustness', 67.75, '/r/occ.py'),
    }
    assert {record['seed'] for record in records} == {4}
    assert [record.get('published') for record in records if record['metric'] == 'A_aurra'] == [32.4]
    assert records[-1]['curve'] == [[0.0, 90.0], [0.4951, 45.5]]
    assert sum('curve' in record for record in records) == 1
