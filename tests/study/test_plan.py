"""Studies are read and validated before anything runs."""

import pytest

from mixpro_mm.study.plan import read_plan, select

STAGES = """
stages = [
    dict(name='data', command=['-c', 'pass']),
    dict(name='pre', config='pre.py', task='classification', backbone='DeiT', pretraining='MIXPRO', gpus=None),
    dict(name='seg', config='sub/seg.py', task='segmentation', backbone='DeiT', pretraining='mixpro', checkpoint='pre',
         needs=['data'], published=dict(mIoU=41.4), gpus=8),
]
table = {'deit-tiny': (1, 2)}  # other keys are ignored
"""
ROW = "name='a', config='pre.py', task='detection', backbone='PVT', pretraining='mixpro'"


@pytest.fixture
def read(tmp_path):
    (tmp_path / 'sub').mkdir()
    (tmp_path / 'pre.py').touch()
    (tmp_path / 'sub' / 'seg.py').touch()

    def read(text, **options):
        title = '' if 'title' in text else "title = 'T'\n"
        (tmp_path / 'study.py').write_text(title + text)
        return read_plan(tmp_path / 'study.py', **options)

    return read


def test_a_study_is_read(read, tmp_path):
    """Paths are relative to the study; options are those that JSON keeps."""
    plan = read(f'seed = 3\njobs = 4\nabout = "Why."\n{STAGES}')
    assert (plan.title, plan.seed, plan.jobs, plan.about) == ('T', 3, 4, 'Why.')
    data, pre, seg = plan.stages
    assert data.command == ('-c', 'pass')
    assert (pre.config, seg.config) == (str(tmp_path / 'pre.py'), str(tmp_path / 'sub' / 'seg.py'))
    assert seg.waits_for == ('data', 'pre') and pre.waits_for == ()
    assert pre.pretraining == 'mixpro' and pre.gpus is None
    assert seg.published == {'mIoU': 41.4} and type(seg.published) is dict and seg.gpus == 8
    options = {'train_cfg.augments.0': dict(type='CutMix', alpha=1.0), 'scale': (1, 2)}
    (stage,) = read(f"stages = [dict({ROW}, cfg_options={options}, cells=[('t', 'a', None)], data='x')]").stages
    assert stage.cfg_options == options | dict(scale=[1, 2])
    assert (stage.cells, stage.data) == ((('t', 'a', None),), 'x')


@pytest.mark.parametrize(
    ('visible', 'count', 'jobs'), [('4,7', 2, 2), ('0,', 1, 1), ('MIG-a,MIG-b', 1, 2), ('-1', 0, 3)]
)
def test_jobs_default_to_visible_gpus_or_cores(read, monkeypatch, visible, count, jobs):
    monkeypatch.setattr('os.sched_getaffinity', lambda pid: {0, 3, 5})
    monkeypatch.setattr('torch.cuda.device_count', lambda: count)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', visible)
    assert read(STAGES).jobs == jobs


@pytest.mark.parametrize(
    ('stages', 'words'),
    [
        ("['a']", "stage 1 of study.py is 'a'"),
        ("[dict(name='a')]", 'stage a of study.py .* config or a command'),
        (f"[dict({ROW}, chekpoint='b')]", "'chekpoint'; known: name, config"),
        ("[dict(name='a', config='pre.py', task='detection', backbone='PVT')]", 'pretraining'),
        ("[dict(name='a', command=['x']), dict(name='a', command=['x'])]", 'stage a .* earlier'),
        ("[dict(name='figures', command=['x'])]", 'stage figures .* folder'),
        (f"[dict(name='c', command=['x']), dict({ROW}, checkpoint='c')]", 'starts from c'),
        ("[dict(name='a', command=['x'], needs=['b']), dict(name='b', command=['x'])]", r"waits for \['b'\]"),
        ("[dict(name='a', command=['x', 3])]", r"command is \['x', 3\], not tuple\[str, ..."),
        (f'[dict({ROW}, gpus=0)]', 'gpus 0'),
        ("[dict(name='a', command=['x'], seeds=2)]", 'command .* seeds: 2'),
        (f'[dict({ROW}, seeds=True)]', 'seeds is True, not int'),
        (f'[dict({ROW}, tta=True)]', 'tta, .* segmentation'),
        (f"[dict({ROW}, published=dict(bbox_mAP='x'))]", "published is {'bbox_mAP': 'x'}, not dict"),
        (f'[dict({ROW}, published=dict(top5=1.0))]', r"\['top5'\]; known: top1"),
        (f"[dict({ROW}, evaluations=dict(B='pre.py'))]", r"\['B'\]; known: occlusion, calibration, A, O"),
        (f'[dict({ROW}, cfg_options=dict(a=print))]', 'cfg_options .* JSON'),
        (f'[dict({ROW}, seeds=2), dict({ROW}, seeds=3) | dict(name="b", checkpoint="a")]', 'b .* more seeds than a'),
        (f'[dict({ROW}, seeds=2), dict({ROW}) | dict(name="a_s0")]', 'two stages of study.py have the name a_s0'),
        ('None', r'study\.py: stages is None'),
        ('[]\njobs = -1', 'jobs is -1'),
        ('[', r'study\.py cannot be read: SyntaxError'),
    ],
)
def test_invalid_studies_are_refused(read, stages, words):
    with pytest.raises(ValueError, match=words) as error:
        read(f'stages = {stages}')
    assert len(str(error.value).splitlines()) == 1 and 'study.py' in str(error.value)


def test_missing_files_are_named(read, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nothing\.py'):
        read_plan(tmp_path / 'nothing.py')
    with pytest.raises(FileNotFoundError, match=r'stage a of study.py .*gone.py'):
        read(f"stages = [dict(dict({ROW}), evaluations=dict(A='gone.py'), task='classification')]")


SEVERAL = """
row = dict(task='classification', backbone='DeiT')
stages = [
    dict(name='data', command=['-c', 'pass']),
    dict(name='a', config='pre.py', pretraining='mixpro', seeds=2, evaluations=dict(A='sub/seg.py'), **row),
    dict(name='b', config='pre.py', pretraining='cutmix', seeds=1, **row),
    dict(name='seg', config='sub/seg.py', task='segmentation', backbone='DeiT', pretraining='mixpro', checkpoint='a',
         needs=['data', 'a'], seeds=1),
    dict(name='once', config='pre.py', pretraining='none', **row),
]
"""


def test_seeds_repeat_stages(read, tmp_path):
    plan = read(f'seed = 4\n{SEVERAL}')
    assert {stage.name: plan.seed_of(stage) for stage in plan.stages} == {
        'data': 4, 'a_s4': 4, 'b_s4': 4, 'seg_s4': 4, 'once': 4, 'a_s5': 5,
    }  # fmt: skip
    assert plan.stage('seg_s4').checkpoint == 'a_s4' and plan.stage('seg_s4').needs == ('data', 'a_s4')
    assert plan.stage('a_s5').evaluations == {'A': str(tmp_path / 'sub' / 'seg.py')}
    names = [stage.name for stage in read(SEVERAL, seeds=3).stages]
    assert names == ['data', *(f'{name}_s{n}' for n in range(3) for name in ('a', 'b', 'seg', 'once'))]
    with pytest.raises(ValueError, match=r'--seeds .* -1'):
        read(SEVERAL, seeds=-1)


def test_methods_select_pretrainings(read):
    assert [stage.name for stage in read(SEVERAL, methods=['CutMix']).stages] == ['data', 'b_s0']
    with pytest.raises(ValueError, match=r'cutmix, mixpro, none.*x'):
        read(SEVERAL, methods=['mixpro', 'x'])


def test_selected_stages_come_with_those_they_wait_for(read):
    plan = read(f'seed = 4\n{SEVERAL}')
    for patterns, names in (
        (['seg*'], ['data', 'a_s4', 'seg_s4']),
        (['*_s5', 'data'], ['data', 'a_s5']),
        (['?_s4'], ['a_s4', 'b_s4']),
    ):
        assert [stage.name for stage in select(plan, patterns).stages] == names
    assert select(plan, ['data']).seed == 4
    with pytest.raises(ValueError, match=r"'det\*'; known: data, a_s4, b_s4, seg_s4, once, a_s5"):
        select(plan, ['seg*', 'det*'])
