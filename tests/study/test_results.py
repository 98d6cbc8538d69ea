"""Records of finished stages."""

from dataclasses import replace

from mixpro_mm.study.plan import Plan, Stage
from mixpro_mm.study.results import records_of
from mixpro_mm.utils.files import write_json

ROW = dict(backbone='DeiT', pretraining='mixpro')


def records(folder, *measured):
    """Return the records of stages and their metrics; None is an unfinished stage."""
    for stage, metrics in measured:
        if metrics is not None:
            (folder / stage.name).mkdir(exist_ok=True)
            write_json(folder / stage.name / 'done.json', dict(metrics=metrics, checkpoint_sha256=stage.name * 2))
    plan = Plan('t', tuple(stage for stage, _ in measured), seed=7, jobs=1, config='')
    return records_of(plan, folder, folder / 'repo')


def test_records_have_value_origin_and_cell(tmp_path):
    """Optional metrics become records only if they are measured and published."""
    cell = dict(cells=(('table4', 'a', 'bbox'), ('table4', 'b', None)), data='digits')
    published = {'bbox_mAP': 41.4, 'bbox_mAP_50': 64.2, 'segm_mAP_75': 41.7}
    pre = Stage(name='pre', config=str(tmp_path / 'repo' / 'a.py'), task='classification', **ROW)
    det = Stage('det', '/elsewhere/d.py', task='detection', seed=4, published=published, **ROW, **cell)
    seg = Stage(name='seg', config='/c.py', task='segmentation', published={'mIoU (MS)': 51.6}, **ROW)
    unfinished = Stage(name='cut', config='c.py', task='segmentation', **ROW)
    measured = {'coco/bbox_mAP': 0.4321, 'coco/bbox_mAP_50': 0.6, 'coco/bbox_mAP_75': 0.5, 'coco/segm_mAP': 0.25}
    found = records(
        tmp_path,
        (pre, {'accuracy/top1': 95.5}), (det, measured), (unfinished, None), (Stage('x', command=('x',)), {}),
        (seg, {'mIoU': 50.5, 'mIoU (MS)': 51.0, 'aAcc (MS)': 80.0}),
    )  # fmt: skip
    of_pre = dict(task='classification', seed=7, config='a.py', checkpoint_sha256='prepre', **ROW)
    of_det = dict(task='detection', seed=4, config='/elsewhere/d.py', checkpoint_sha256='detdet', **ROW)
    of_det |= dict(cells=[['table4', 'a', 'bbox'], ['table4', 'b', None]], data='digits')
    of_seg = dict(task='segmentation', seed=7, config='/c.py', checkpoint_sha256='segseg', **ROW)
    assert found == [
        dict(metric='top1', value=95.5, **of_pre),
        dict(metric='bbox_mAP', value=43.21, published=41.4, **of_det),
        dict(metric='bbox_mAP_50', value=60.0, published=64.2, **of_det),
        dict(metric='segm_mAP', value=25.0, **of_det),
        dict(metric='mIoU', value=50.5, **of_seg),
        dict(metric='mIoU (MS)', value=51.0, published=51.6, **of_seg),
    ]


def test_records_of_evaluations(tmp_path):
    tests = dict(A='/r/a.py', occlusion='/r/occ.py')
    own = dict(evaluations=tests, published=dict(A_aurra=32.4), cells=(('table1', 'a', None),), data='digits')
    pre = Stage(name='pre', config='/c.py', task='classification', **own, **ROW)
    metrics = {'accuracy/top1': 90.0, 'A/calibration/top1': 12.34567, 'A/calibration/aurra': 20.0}
    metrics |= {'occlusion/calibration/ece': 3.0, 'occlusion/accuracy/top1': 90.0}
    metrics |= {'A/calibration/ece': 7.0, 'O/ood/aupr': 50.0}  # not a result, and not an evaluation of this stage
    (tmp_path / 'pre' / 'occlusion').mkdir(parents=True)
    points = [dict(ratio=0.5, information_loss=q, top1=top1, std=None) for q, top1 in ((0.0, 90.0), (0.4951, 45.5))]
    write_json(tmp_path / 'pre' / 'occlusion' / 'occlusion.json', dict(curves={'random': points}))
    found = records(tmp_path, (pre, metrics))
    assert {r['metric']: (r['task'], r['value'], r['config'], r.get('cells'), r['data']) for r in found} == {
        'top1': ('classification', 90.0, '/c.py', [['table1', 'a', None]], 'digits'),
        'ece': ('robustness', 3.0, '/r/occ.py', None, 'digits'),
        'A_top1': ('robustness', 12.3457, '/r/a.py', None, 'digits'),
        'A_aurra': ('robustness', 20.0, '/r/a.py', None, 'digits'),
        'occlusion_random': ('robustness', 67.75, '/r/occ.py', None, 'digits'),
    }
    assert [record['published'] for record in found if 'published' in record] == [32.4]
    assert [record['curve'] for record in found if 'curve' in record] == [[[0.0, 90.0], [0.4951, 45.5]]]


def test_calibration_may_be_a_test_of_its_own(tmp_path):
    tests = dict(calibration='/r/c.py', occlusion='/r/occ.py')
    pre = Stage(name='pre', config='/c.py', task='classification', evaluations=tests, **ROW)
    found = records(tmp_path, (pre, {'calibration/calibration/ece': 3.0, 'occlusion/accuracy/top1': 90.0}))
    assert [(r['metric'], r['value'], r['config']) for r in found] == [('ece', 3.0, '/r/c.py')]


def test_random_weights_are_one_record_of_a_backbone_and_seed(tmp_path):
    """Stages of one backbone and seed have the same random weights, up to rounding."""
    stages = [
        Stage(
            name, '/c.py', task='classification', backbone='DeiT', pretraining=name, seed=seed, published=dict(knn_20=9)
        )
        for name, seed in (('none', 3), ('mixpro', 3), ('cutmix', 4))
    ]
    stages = [replace(stage, evaluations=dict(probe='/r/p.py')) for stage in stages]
    metrics = {'probe/probe/knn_20': 80.0, 'probe/probe/linear': 85.0, 'probe/accuracy/top1': 1.0}
    measured = [metrics | {'probe/probe/random/knn_20': 60.0 + number} for number in range(3)]
    found = records(tmp_path, *zip(stages, measured, strict=True))
    assert {(r['task'], r['config']) for r in found} == {('probe', '/r/p.py')}
    assert [(r['pretraining'], r['metric'], r['value'], r['seed'], r.get('published')) for r in found] == [
        ('none', 'knn_20', 80.0, 3, 9), ('none', 'linear', 85.0, 3, None), ('random', 'knn_20', 60.0, 3, None),
        ('mixpro', 'knn_20', 80.0, 3, 9), ('mixpro', 'linear', 85.0, 3, None),
        ('cutmix', 'knn_20', 80.0, 4, 9), ('cutmix', 'linear', 85.0, 4, None), ('random', 'knn_20', 62.0, 4, None),
    ]  # fmt: skip
    assert all(('checkpoint_sha256' in record) == (record['pretraining'] != 'random') for record in found)
