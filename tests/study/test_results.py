from mixpro_mm.files import write_json
from mixpro_mm.study.plan import Plan, Stage
from mixpro_mm.study.results import records_of


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
