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
    """Reads a study from its text, which may leave out the title."""
    (tmp_path / 'sub').mkdir()
    (tmp_path / 'pre.py').touch()
    (tmp_path / 'sub' / 'seg.py').touch()

    def read(text, *, title="title = 'T'", **options):
        (tmp_path / 'study.py').write_text(f'{title}\n{text}')
        return read_plan(tmp_path / 'study.py', **options)

    return read


def test_a_plan_is_read_relative_to_its_own_file(read, tmp_path):
    plan = read(f'seed = 3\njobs = 4\n{STAGES}')
    assert (plan.title, plan.seed, plan.jobs) == ('T', 3, 4)
    data, pre, seg = plan.stages
    assert data.command == ('-c', 'pass')
    assert (pre.config, seg.config) == (str(tmp_path / 'pre.py'), str(tmp_path / 'sub' / 'seg.py'))
    assert seg.waits_for == ('data', 'pre') and pre.waits_for == ()
    assert pre.pretraining == 'mixpro' and pre.gpus is None  # canonical name; None where it is the default
    assert seg.published == {'mIoU': 41.4} and type(seg.published) is dict and seg.gpus == 8
    assert [stage.name for stage in read(STAGES, methods=['MixPro']).stages] == ['data', 'pre', 'seg']


def test_options_and_cells_are_read(read):
    options = {'train_cfg.augments.0': dict(type='CutMix', alpha=1.0), 'scale': (1, 2)}
    (stage,) = read(f"stages = [dict({ROW}, cfg_options={options}, table='t', row='a', column=None, data='x')]").stages
    assert stage.cfg_options == options | dict(scale=[1, 2])  # as JSON has it
    assert (stage.table, stage.row, stage.column, stage.data) == ('t', 'a', None, 'x')


@pytest.mark.parametrize(
    ('visible', 'count', 'jobs'),
    [(None, 2, 2), ('4,7', 2, 2), ('0,', 1, 1), ('MIG-a,MIG-b', 1, 2), ('-1', 0, 3), ('', 0, 3)],
)
def test_jobs_default_to_the_visible_gpus_or_cores(read, monkeypatch, visible, count, jobs):
    monkeypatch.setattr('os.sched_getaffinity', lambda pid: {0, 3, 5})
    monkeypatch.setattr('torch.cuda.device_count', lambda: count)
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', False)
    if visible is not None:
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', visible)
    assert read(STAGES).jobs == jobs
    assert read(f'jobs = 5\n{STAGES}').jobs == 5


@pytest.mark.parametrize(
    ('stages', 'words'),
    [
        ('3', 'stages is 3'),
        ("['a']", "stage 1 of study.py is 'a', not a dict"),
        ("[dict(name='a', command=['x']), dict(command=['x'])]", 'stage 2 .* not a dict with a name'),
        ("[dict(name=3, command=['x'])]", 'name is 3, not str'),
        ("[dict(name='a')]", 'stage a of study.py needs either a config or a command'),
        ("[dict(name='a', config='pre.py', command=['x'])]", 'needs either'),
        ("[dict(name='a', config='pre.py', task='captioning')]", "task 'captioning'; known: classification"),
        (f"[dict({ROW}, chekpoint='b')]", "stage a of study.py has an unknown key 'chekpoint'; known: name, config"),
        (f'[dict({ROW}, seed=3)]', "unknown key 'seed'"),
        ("[dict(name='a', config='pre.py', task='detection', backbone='PVT')]", 'needs pretraining'),
        ("[dict(name='a', command=['x']), dict(name='a', command=['x'])]", 'name of an earlier stage'),
        ("[dict(name='figures', command=['x'])]", 'stage figures .* cannot be the name of a folder'),
        ("[dict(name='a/b', command=['x'])]", 'stage a/b .* cannot be the name of a folder'),
        (f"[dict(name='c', command=['x']), dict({ROW}, checkpoint='c')]", 'starts from c, which trains nothing'),
        ("[dict(name='a', command=['x'], needs=['b']), dict(name='b', command=['x'])]", r"waits for \['b'\]"),
        ("[dict(name='a', command='ls')]", r"command is 'ls', not tuple\[str, ...\]"),
        ("[dict(name='a', command=['x', 3])]", r"command is \['x', 3\], not tuple\[str, ..."),
        (f'[dict({ROW}, gpus=0)]', 'not above 0: seeds None, gpus 0'),
        (f'[dict({ROW}, seeds=0)]', 'not above 0: seeds 0'),
        ("[dict(name='a', command=['x'], seeds=2)]", 'a command, which has no seeds: 2'),
        (f"[dict({ROW}, gpus='8')]", "gpus is '8', not int"),
        (f'[dict({ROW}, gpus=8.0)]', 'gpus is 8.0, not int'),
        (f'[dict({ROW}, seeds=True)]', 'seeds is True, not int'),
        (f"[dict({ROW}, tta='yes')]", "tta is 'yes', not bool"),
        (f'[dict({ROW}, tta=None)]', 'tta is None, not bool'),
        (f'[dict({ROW}, tta=True)]', 'tta, which is for segmentation only'),
        (f"[dict({ROW}, published=dict(bbox_mAP='x'))]", "published is {'bbox_mAP': 'x'}, not dict"),
        (f'[dict({ROW}, published=[41.4])]', r'published is \[41.4\], not dict'),
        (f'[dict({ROW}, published=dict(top5=1.0))]', r"published numbers of \['top5'\]; known: top1"),
        (f"[dict({ROW}, evaluations=dict(B='pre.py'))]", r"evaluations \['B'\]; known: occlusion, A, O"),
        (f"[dict({ROW}, evaluations=dict(A='pre.py'))]", 'evaluations, which are for classification only'),
        (f'[dict({ROW}, evaluations=dict(A=3))]', "evaluations is {'A': 3}, not dict"),
        (f"[dict({ROW}, cfg_options=['a'])]", r"cfg_options is \['a'\], not dict"),
        (f'[dict({ROW}, cfg_options={{1: 2}})]', 'cfg_options is {1: 2}, not dict'),
        (f'[dict({ROW}, cfg_options=dict(a=print))]', 'cfg_options cannot be written as JSON'),
        (f'[dict({ROW}), dict({ROW}, seeds=2) | dict(name="b", checkpoint="a")]', None),
        (f'[dict({ROW}, seeds=2), dict({ROW}, seeds=3) | dict(name="b", checkpoint="a")]', 'b .* more seeds than a'),
        (f'[dict({ROW}, seeds=2), dict({ROW}) | dict(name="b", needs=["a"])]', 'b .* more seeds than a'),
        (f'[dict({ROW}, seeds=2), dict({ROW}) | dict(name="a_s1")]', 'two stages with one name .* a_s1'),
    ],
)
def test_what_is_wrong_in_a_stage_is_named(read, stages, words):
    if words is None:
        read(f'stages = {stages}')
        return
    with pytest.raises(ValueError, match=words) as error:
        read(f'stages = {stages}')
    assert len(str(error.value).splitlines()) == 1 and 'study.py' in str(error.value)


@pytest.mark.parametrize(
    ('title', 'text', 'words'),
    [
        ("title = 'T'", '', r'study\.py: stages is None'),
        ('', 'stages = []', 'title is None'),
        ('title = 3', 'stages = []', 'title is 3'),
        ("title = 'T'", "stages = []\nseed = 'x'", "seed is 'x'"),
        ("title = 'T'", 'stages = []\njobs = -1', 'jobs is -1'),
        ("title = 'T'", 'stages = [', r'study\.py cannot be read: SyntaxError: .* was never closed .*line 2'),
        ("title = 'T'", 'stages = [dict(name=nam)]', r"study\.py cannot be read: NameError: name 'nam' is not"),
    ],
)
def test_a_file_that_is_no_study_is_named(read, title, text, words):
    with pytest.raises(ValueError, match=words) as error:
        read(text, title=title)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize('more', ["config='gone.py'", "evaluations=dict(A='gone.py'), task='classification'"])
def test_missing_files_are_named(read, tmp_path, more):
    with pytest.raises(FileNotFoundError, match='there is no study config at'):
        read_plan(tmp_path / 'nothing.py')
    with pytest.raises(FileNotFoundError, match=r'stage a of study.py names .*gone.py, which does not exist'):
        read(f'stages = [dict(dict({ROW}), {more})]')


CHAIN = """
stages = [
    dict(name='data', command=['x']),
    dict(name='pre-s', command=['x'], needs=['data']),
    dict(name='pre-t', command=['x']),
    dict(name='seg-s', command=['x'], needs=['pre-s']),
    dict(name='seg-t', command=['x'], needs=['pre-t']),
]
"""


@pytest.mark.parametrize(
    ('patterns', 'names'),
    [
        (['seg-s'], ['data', 'pre-s', 'seg-s']),
        (['seg*'], ['data', 'pre-s', 'pre-t', 'seg-s', 'seg-t']),
        (['*-t', 'data'], ['data', 'pre-t', 'seg-t']),
        (['pre-?'], ['data', 'pre-s', 'pre-t']),
    ],
)
def test_a_part_of_a_plan_has_what_it_waits_for(read, patterns, names):
    plan = read(f'seed = 4\n{CHAIN}')
    part = select(plan, patterns)
    assert [stage.name for stage in part.stages] == names
    assert part.seed == 4 and len(plan.stages) == 5


@pytest.mark.parametrize(
    ('pattern', 'shown'), [('det*', 'data, pre-s, pre-t, seg-s, seg-t'), ('*sg-s', 'seg-s'), ('dat', 'data')]
)
def test_a_pattern_without_a_stage_names_those_there_are(read, pattern, shown):
    with pytest.raises(
        ValueError, match=rf'no stage of study\.py matches {pattern!r}; there are {shown}'.replace('*', r'\*')
    ):
        select(read(CHAIN), ['seg*', pattern])


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


def test_stages_are_repeated_with_the_seeds_of_the_study(read, tmp_path):
    """One seed after the other, each starting from its own; ``seeds`` applies to all that train."""
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


def test_methods_are_those_kept(read):
    assert [stage.name for stage in read(SEVERAL, methods=['cutmix']).stages] == ['data', 'b_s0']
    with pytest.raises(ValueError, match=r'pre-trainings cutmix, mixpro, none, not all of .*x'):
        read(SEVERAL, methods=['mixpro', 'x'])
