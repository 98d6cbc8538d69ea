import pytest

from mixpro_mm.study.plan import read_plan, select

STAGES = """
stages = [
    dict(name='data', command=['-c', 'pass'], cost=2),
    dict(name='pre', config='pre.py', task='classification', backbone='DeiT', pretraining='mixpro'),
    dict(name='seg', config='sub/seg.py', task='segmentation', backbone='DeiT', pretraining='mixpro', checkpoint='pre',
         needs=['data']),
]
"""

ROW = "name='a', config='pre.py', task='detection', backbone='PVT', pretraining='mixpro'"


@pytest.fixture
def write(tmp_path):
    (tmp_path / 'sub').mkdir()
    (tmp_path / 'pre.py').touch()
    (tmp_path / 'sub' / 'seg.py').touch()

    def write(text):
        (tmp_path / 'study.py').write_text(text)
        return tmp_path / 'study.py'

    return write


def test_a_plan_is_read_relative_to_its_own_file(write, tmp_path):
    plan = read_plan(write(f"title = 'T'\nseed = 3\njobs = 4\n{STAGES}"))
    assert (plan.title, plan.seed, plan.jobs) == ('T', 3, 4)
    data, pre, seg = plan.stages
    assert data.command == ('-c', 'pass')
    assert pre.config == str(tmp_path / 'pre.py')
    assert seg.config == str(tmp_path / 'sub' / 'seg.py')
    assert seg.waits_for == ('data', 'pre')
    assert pre.waits_for == ()


def test_jobs_default_to_the_cores_this_process_may_use(write, monkeypatch):
    monkeypatch.setattr('os.sched_getaffinity', lambda pid: {0, 3, 5})
    assert read_plan(write(f"title = 'T'\n{STAGES}")).jobs == 3


@pytest.mark.parametrize(
    ('visible', 'count', 'jobs'), [(None, 2, 2), ('4,7', 2, 2), ('MIG-a,MIG-b', 1, 2), ('-1', 0, 3)]
)
def test_jobs_default_to_the_gpus_this_process_sees(write, monkeypatch, visible, count, jobs):
    monkeypatch.setattr('os.sched_getaffinity', lambda pid: {0, 3, 5})
    monkeypatch.setattr('torch.cuda.device_count', lambda: count)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', visible) if visible else monkeypatch.delenv(
        'CUDA_VISIBLE_DEVICES', False
    )
    assert read_plan(write(f"title = 'T'\n{STAGES}")).jobs == jobs
    assert read_plan(write(f"title = 'T'\njobs = 5\n{STAGES}")).jobs == 5


@pytest.mark.parametrize(
    ('stages', 'sentence'),
    [
        ("[dict(name='a')]", 'stage a of study.py needs either a config or a command'),
        ("[dict(name='a', config='pre.py', command=['x'])]", 'stage a of study.py needs either'),
        ("[dict(name='a', config='pre.py', task='captioning')]", "task 'captioning' is unknown; known: classification"),
        (
            "[dict(name='a', config='pre.py', task='detection', chekpoint='b')]",
            "stage a of study.py has an unknown key 'chekpoint'; known: name, config",
        ),
        ("[dict(name='a', command=['x']), dict(name='a', command=['x'])]", 'two stages named a'),
        (
            "[dict(name='a', config='pre.py', task='detection', backbone='PVT')]",
            'stage a of study.py needs pretraining',
        ),
        ("[dict(name='figures', command=['x'])]", "stage 'figures' of study.py cannot be the name of its own folder"),
        ("[dict(name='a/b', command=['x'])]", "stage 'a/b' of study.py cannot be the name"),
        (
            "[dict(name='a', command=['x']), dict(name='b', config='pre.py', task='detection', backbone='PVT',"
            " pretraining='mixpro', checkpoint='a')]",
            'stage b of study.py wants a checkpoint of a, which trains nothing',
        ),
        ("[dict(name='a', command=['x'], needs=['b']), dict(name='b', command=['x'])]", 'waits for b, which does not'),
        (
            "[dict(name='a', command=['x'], published=dict(top5=1.0))]",
            "stage a of study.py has a published 'top5'; known",
        ),
        (f'[dict({ROW}, gpus=0)]', 'stage a of study.py: gpus is 0, not above 0'),
        (f'[dict({ROW}, gmacs=-1.5)]', 'stage a of study.py: gmacs is -1.5, not above 0'),
        ('3', 'study.py: stages is 3, not of type list'),
        ("['a']", "stage 1 of study.py is 'a', not a dict"),
        ("[dict(name='a', command=['x']), dict(command=['x'])]", 'stage 2 of study.py has no name'),
        ("[dict(name=3, command=['x'])]", 'stage 1 of study.py: name is 3, not a string'),
        ("[dict(name='a', command='ls')]", "stage a of study.py: command is 'ls', not a list of strings"),
        ("[dict(name='a', command=['x'], needs='data')]", "stage a of study.py: needs is 'data', not a list of"),
        ("[dict(name='a', command=['x', 3])]", "stage a of study.py: command is \\['x', 3\\], not a list of strings"),
        (f"[dict({ROW}, gpus='8')]", "stage a of study.py: gpus is '8', not a whole number"),
        (f'[dict({ROW}, gpus=8.0)]', 'stage a of study.py: gpus is 8.0, not a whole number'),
        (f"[dict({ROW}, cost='much')]", "stage a of study.py: cost is 'much', not a number"),
        (f"[dict({ROW}, tta='yes')]", "stage a of study.py: tta is 'yes', not True or False"),
        (f"[dict({ROW}, published=dict(bbox_mAP='x'))]", "published is {'bbox_mAP': 'x'}, not a dict of numbers"),
        (f'[dict({ROW}, published=[41.4])]', r'published is \[41.4\], not a dict of numbers'),
        (f"[dict({ROW}, cfg_options=['a'])]", r"cfg_options is \['a'\], not a dict with str keys"),
        (f'[dict({ROW}, cfg_options={{1: 2}})]', r'cfg_options is \{1: 2\}, not a dict with str keys'),
        (
            f'[dict({ROW}, cfg_options=dict(a=print))]',
            'cfg_options is .* not a dict with str keys and values that JSON',
        ),
        (f'[dict({ROW}, tta=True)]', 'stage a of study.py asks for tta, which is there for segmentation only'),
    ],
)
def test_a_wrong_plan_is_one_sentence(write, stages, sentence):
    with pytest.raises(ValueError, match=sentence):
        read_plan(write(f"title = 'T'\nstages = {stages}"))


@pytest.mark.parametrize(
    'text',
    ["title = 'T'", 'stages = []', "title = 'T'\nstages = []\njobs = -1", "title = 'T'\nstages = []\njobs = 'x'"],
)
def test_a_plan_without_its_parts_is_one_sentence(write, text):
    with pytest.raises(ValueError, match=r'study\.py needs a title, stages, and jobs of at least 0'):
        read_plan(write(text))


@pytest.mark.parametrize(
    ('text', 'sentence'),
    [
        (
            "title = 'T'\nstages = [",
            r'study\.py cannot be read: SyntaxError: .* was never closed .*line 2',
        ),
        ("title = 'T'\nstages = [dict(name=nam)]", r"study\.py cannot be read: NameError: name 'nam' is not defined"),
        ("title = 'T'\nstages = []\nseed = 'x'", "study\\.py: seed is 'x', not of type int"),
        ('title = 3\nstages = []', r'study\.py: title is 3, not of type str'),
    ],
)
def test_a_file_that_is_no_study_is_one_sentence(write, text, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        read_plan(write(text))
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ('written', 'key'),
    [('MixPro', 'mixpro'), ('MIXPRO', 'mixpro'), ('Scratch', 'scratch'), ('No mixing', 'none'), ('Mine', 'Mine')],
)
def test_a_pretraining_is_known_in_any_case(write, written, key):
    path = write(f"title = 'T'\nstages = [dict({ROW}) | dict(pretraining={written!r})]")
    assert [stage.pretraining for stage in read_plan(path).stages] == [key]
    assert [stage.pretraining for stage in read_plan(path, methods=[written]).stages] == [key]


def test_what_may_be_none_may_be_written_so(write):
    (stage,) = read_plan(write(f"title = 'T'\nstages = [dict({ROW}, gpus=None, checkpoint=None, creates=None)]")).stages
    assert stage.gpus is None and stage.waits_for == ()
    with pytest.raises(ValueError, match=r'stage a of study\.py: cost is None, not a number'):
        read_plan(write(f"title = 'T'\nstages = [dict({ROW}, cost=None)]"))


def test_options_and_cells_are_read(write):
    options = {'train_cfg.augments.0': dict(type='CutMix', alpha=1.0), 'scale': (1, 2)}
    text = f"title = 'T'\nstages = [dict({ROW}, cfg_options={options}, table='table4', row='a', column=None, data='x')]"
    (stage,) = read_plan(write(text)).stages
    assert stage.cfg_options == options | dict(scale=[1, 2])  # as JSON has it
    assert (stage.table, stage.row, stage.column, stage.data) == ('table4', 'a', None, 'x')


def test_missing_files_are_named(write, tmp_path):
    with pytest.raises(FileNotFoundError, match='there is no study config at'):
        read_plan(tmp_path / 'nothing.py')
    with pytest.raises(FileNotFoundError, match=r'stage a of study.py names .*gone.py, which does not exist'):
        read_plan(write("title = 'T'\nstages = [dict(name='a', config='gone.py', task='detection')]"))


def test_what_a_stage_says_of_its_row_and_its_cost_is_read(write):
    text = f"title = 'T'\nstages = [dict({ROW}, published=dict(bbox_mAP=41.4), gpus=8, gmacs=327, train_images=10)]"
    (stage,) = read_plan(write(text + "\ntable = {'deit-tiny': (1, 2)}")).stages  # other keys are no affair of a plan
    assert stage.published == {'bbox_mAP': 41.4} and type(stage.published) is dict
    assert (stage.gpus, stage.gmacs, stage.train_images, stage.tta) == (8, 327, 10, False)


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
def test_a_part_of_a_plan_holds_what_it_waits_for(write, patterns, names):
    plan = read_plan(write(f"title = 'T'\nseed = 4\n{CHAIN}"))
    part = select(plan, patterns)
    assert [stage.name for stage in part.stages] == names
    assert part.seed == 4 and len(plan.stages) == 5


def test_a_pattern_without_a_stage_is_one_sentence(write):
    plan = read_plan(write(f"title = 'T'\n{CHAIN}"))
    for pattern, told in (
        ('det*', 'it has data, pre-s, pre-t, seg-s, seg-t'),
        ('*se-s', 'near it are seg-s, seg-t'),
        ('dat', 'near it are data'),
        ('pres*', 'near it are pre-s, pre-t'),
    ):
        with pytest.raises(ValueError) as error:
            select(plan, ['seg*', pattern])
        assert str(error.value) == f'no stage of study.py matches {pattern!r}; {told}'


def test_of_many_names_a_few_are_told(write):
    plan = read_plan(write("title = 'T'\nstages = [dict(name=f'stage-{n}', command=['x']) for n in range(54)]"))
    with pytest.raises(ValueError, match=r'it has stage-0, stage-1, stage-2, stage-3, stage-4 and 49 more$'):
        select(plan, ['xyz'])


SEVERAL = """
row = dict(task='classification', backbone='DeiT')
stages = [
    dict(name='data', command=['-c', 'pass']),
    dict(name='a', config='pre.py', pretraining='mixpro', seeds=2, evaluations=dict(A='sub/seg.py'), **row),
    dict(name='b', config='pre.py', pretraining='cutmix', seeds=1, **row),
    dict(name='seg', config='sub/seg.py', task='segmentation', backbone='DeiT', pretraining='mixpro', checkpoint='a',
         seeds=1),
]
"""


def test_stages_are_repeated_with_the_seeds_of_the_study(write, tmp_path):
    plan = read_plan(write(f"title = 'T'\nseed = 4\n{SEVERAL}"))
    seeds = {stage.name: plan.seed_of(stage) for stage in plan.stages}
    assert seeds == {'data': 4, 'a_s4': 4, 'b_s4': 4, 'seg_s4': 4, 'a_s5': 5}
    by_name = {stage.name: stage for stage in plan.stages}
    assert by_name['seg_s4'].checkpoint == 'a_s4'
    assert by_name['a_s5'].evaluations == {'A': str(tmp_path / 'sub' / 'seg.py')}
    more = read_plan(write(f"title = 'T'\n{SEVERAL}"), seeds=3)
    assert [stage.name for stage in more.stages if stage.task == 'segmentation'] == ['seg_s0', 'seg_s1', 'seg_s2']


def test_methods_are_those_kept(write):
    text = f"title = 'T'\n{SEVERAL}"
    assert [s.name for s in read_plan(write(text), methods=['cutmix']).stages] == ['data', 'b_s0']
    with pytest.raises(ValueError, match=r"no stage of study.py has the pre-training \['x'\]; it has mixpro, cutmix"):
        read_plan(write(text), methods=['mixpro', 'x'])


@pytest.mark.parametrize(
    ('more', 'sentence'),
    [
        ("evaluations=dict(B='pre.py')", "stage a of study.py has an evaluation 'B'; known: occlusion, A, O"),
        (
            "evaluations=dict(A='pre.py')",
            'stage a of study.py asks for evaluations, which are there for classification',
        ),
        ('evaluations=dict(A=3)', "stage a of study.py: evaluations is {'A': 3}, not a dict of configs"),
        ("evaluations=['A']", 'not a dict of configs'),
        ("seeds='3'", "stage a of study.py: seeds is '3', not a whole number"),
    ],
)
def test_what_cannot_be_evaluated_or_repeated(write, more, sentence):
    with pytest.raises(ValueError) as raised:
        read_plan(write(f"title = 'T'\nstages = [dict({ROW}, {more})]"))
    assert sentence in str(raised.value)


def test_an_evaluation_that_does_not_exist_is_named(write):
    with pytest.raises(FileNotFoundError, match=r'stage a of study.py names .*nowhere.py, which does not exist'):
        read_plan(write(f"title = 'T'\nstages = [dict({ROW}, evaluations=dict(A='nowhere.py'))]"))
