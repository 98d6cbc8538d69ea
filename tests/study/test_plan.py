import pytest

from mixpro_mm.study.plan import read_plan

STAGES = """
stages = [
    dict(name='data', command=['-c', 'pass'], cost=2),
    dict(name='pre', config='pre.py', task='classification', backbone='DeiT', pretraining='mixpro'),
    dict(name='seg', config='sub/seg.py', task='segmentation', backbone='DeiT', pretraining='mixpro', checkpoint='pre',
         needs=['data']),
]
"""


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
    ('stages', 'sentence'),
    [
        ("[dict(name='a')]", 'stage a of study.py needs either a config or a command'),
        ("[dict(name='a', config='pre.py', command=['x'])]", 'stage a of study.py needs either'),
        ("[dict(name='a', config='pre.py', task='captioning')]", "task 'captioning' is unknown; known: classification"),
        ("[dict(name='a', config='pre.py', task='detection', chekpoint='b')]", 'stage a of study.py: .*chekpoint'),
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
    ],
)
def test_a_wrong_plan_is_one_sentence(write, stages, sentence):
    with pytest.raises(ValueError, match=sentence):
        read_plan(write(f"title = 'T'\nstages = {stages}"))


@pytest.mark.parametrize('text', ["title = 'T'", 'stages = []', "title = 'T'\nstages = []\njobs = -1"])
def test_a_plan_without_its_parts_is_one_sentence(write, text):
    with pytest.raises(ValueError, match=r'study\.py needs a title, stages, and jobs of at least 0'):
        read_plan(write(text))


def test_missing_files_are_named(write, tmp_path):
    with pytest.raises(FileNotFoundError, match='there is no study config at'):
        read_plan(tmp_path / 'nothing.py')
    with pytest.raises(FileNotFoundError, match=r'stage a of study.py names .*gone.py, which does not exist'):
        read_plan(write("title = 'T'\nstages = [dict(name='a', config='gone.py', task='detection')]"))
