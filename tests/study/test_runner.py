import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from mixpro_mm.study.display import Display, clock
from mixpro_mm.study.plan import Plan, Stage
from mixpro_mm.study.runner import StageError, StudyRunner, is_finished

ROOT = Path(__file__).parents[2]


def plan(*stages, jobs=2):
    return Plan('test', stages, seed=0, jobs=jobs, config='')


def run(work_dir, *stages, jobs=2):
    output = io.StringIO()
    runner = StudyRunner(plan(*stages, jobs=jobs), work_dir, Display('test', Console(file=output, width=200)))
    try:
        runner.run()
    finally:
        runner.close()
    return output.getvalue()


def note(name, needs=(), code='0'):
    """A stage that appends its name to a file when it begins and when it ends."""
    script = (
        'import sys, time; log = open("{work_dir}/order", "a"); '
        f'print("{name} begins", file=log, flush=True); time.sleep(0.3); '
        f'print("{name} ends", file=log, flush=True); sys.exit({code})'
    )
    return Stage(name=name, command=('-c', script), needs=needs)


def order(work_dir):
    return (work_dir / 'order').read_text().splitlines()


def test_stages_wait_for_what_they_need(tmp_path):
    run(tmp_path, note('a'), note('b', needs=('a',)), note('c'))
    lines = order(tmp_path)
    assert lines.index('a ends') < lines.index('b begins')
    assert lines.index('c begins') < lines.index('a ends')  # a and c side by side
    assert len(lines) == 6


def test_no_more_stages_at_a_time_than_jobs(tmp_path):
    run(tmp_path, note('a'), note('b'), jobs=1)
    assert order(tmp_path) == ['a begins', 'a ends', 'b begins', 'b ends']


def test_finished_stages_are_skipped(tmp_path):
    run(tmp_path, note('a'))
    said = run(tmp_path, note('a'), note('b'))
    assert '1 of 2 stages are finished already' in said
    assert order(tmp_path).count('a begins') == 1
    assert json.loads((tmp_path / 'a' / 'done.json').read_text())['seconds'] > 0.2


def test_a_command_whose_product_is_gone_runs_again(tmp_path):
    product = tmp_path / 'product'
    stage = Stage(name='make', command=('-c', f'open({str(product)!r}, "a").write("x")'), creates=str(product))
    for content in ('x', 'x'):
        run(tmp_path, stage)
        assert product.read_text() == content
    product.unlink()
    run(tmp_path, stage)
    assert product.exists()


def test_a_failing_stage_shows_its_last_lines_and_its_log(tmp_path):
    script = 'import sys; print("first of all"); print("no luck: 42 apples", file=sys.stderr); sys.exit(3)'
    with pytest.raises(StageError) as error:
        run(tmp_path, Stage(name='bad', command=('-c', script)), note('after', needs=('bad',)))
    message = str(error.value)
    assert 'stage bad failed (exit code 3)' in message
    assert 'no luck: 42 apples' in message
    assert str(tmp_path / 'bad' / 'stage.log') in message
    assert not (tmp_path / 'bad' / 'done.json').exists()
    assert not (tmp_path / 'order').exists()


def test_what_a_rank_said_is_shown_not_how_torchrun_ended_the_others(tmp_path):
    said = [f'line {number}' for number in range(20)] + ['ValueError: 42 apples']
    elastic = 'W0101 torch/distributed/elastic/multiprocessing/api.py:1012] '
    said += [elastic + 'Sending process 7 closing signal SIGTERM', elastic + 'failed (exitcode: 1)']
    said += ['Traceback', *['  File "torch/distributed/run.py"'] * 30, 'ChildFailedError']
    script = f'print({chr(10).join(said)!r}); raise SystemExit(1)'
    with pytest.raises(StageError) as error:
        run(tmp_path, Stage(name='bad', command=('-c', script)))
    lines = str(error.value).splitlines()
    assert lines[-2] == '  ValueError: 42 apples' and lines[1] == '  line 9' and len(lines) == 14


def test_a_second_test_that_is_asked_for_later_is_owed(tmp_path):
    (tmp_path / 'seg').mkdir()
    for done, once, twice in ((dict(x=1), True, False), (dict(tta=False), True, False), (dict(tta=True), True, True)):
        (tmp_path / 'seg' / 'done.json').write_text(json.dumps(done))
        assert is_finished(Stage(name='seg', config='x'), tmp_path) is once
        assert is_finished(Stage(name='seg', config='x', tta=True), tmp_path) is twice


def test_a_failure_stops_the_others_and_the_next_run_goes_on(tmp_path):
    slow = Stage(name='slow', command=('-c', 'import time; time.sleep(600)'))
    begin = time.monotonic()
    with pytest.raises(StageError):
        run(tmp_path, slow, note('bad', code='1'))
    assert time.monotonic() - begin < 30
    run(tmp_path, note('slow'), note('bad'))
    assert (tmp_path / 'slow' / 'done.json').exists()


def test_one_study_a_folder(tmp_path):
    first = StudyRunner(plan(note('a')), tmp_path)
    with pytest.raises(RuntimeError, match='another process runs a study in'):
        StudyRunner(plan(note('a')), tmp_path)
    first.close()
    StudyRunner(plan(note('a')), tmp_path).close()


def wait_for(path, deadline):
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return path.read_text()


def is_alive(pid):
    status = Path(f'/proc/{pid}/status')
    return status.exists() and 'State:\tZ' not in status.read_text()


@pytest.mark.parametrize('how', [signal.SIGKILL, signal.SIGINT])
def test_stages_die_with_a_study_that_is_cut(tmp_path, how):
    study = tmp_path / 'study.py'
    script = f'import os, time; open("{tmp_path}/pid", "w").write(str(os.getpid())); time.sleep(600)'
    study.write_text(f"title = 'T'\nstages = [dict(name='slow', command=['-c', {script!r}])]")
    command = [sys.executable, str(ROOT / 'tools' / 'study.py'), str(study), '--work-dir', str(tmp_path / 'work')]
    parent = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    child = wait_for(tmp_path / 'pid', deadline)
    parent.send_signal(how)
    _, said = parent.communicate(timeout=300)
    while is_alive(child):
        assert time.monotonic() < deadline, 'the stage outlived its study'
        time.sleep(0.1)
    assert not (tmp_path / 'work' / 'slow' / 'done.json').exists()
    if how == signal.SIGINT:
        assert parent.returncode == 130
        assert 'the same command goes on from here' in said


def test_time_left_follows_the_pace(monkeypatch):
    now = [100.0]
    monkeypatch.setattr('time.monotonic', lambda: now[0])
    stages = [Stage(name='a', command=('x',), cost=30), Stage(name='b', command=('x',), cost=70)]
    display = Display('test', Console(file=io.StringIO()))
    display.start([(stages[0], 'done', 1.0), (stages[1], 'waiting', 0.0)], skipped=1)
    assert display.time_left([(stages[0], 'done', 1.0), (stages[1], 'running', 0.0)]) is None
    now[0] += 20
    assert display.time_left([(stages[0], 'done', 1.0), (stages[1], 'running', 0.5)]) == pytest.approx(20)


def test_the_live_display_shows_every_stage():
    output = io.StringIO()
    display = Display('test', Console(file=output, force_terminal=True, width=100))
    stages = [Stage(name='first', command=('x',)), Stage(name='second', command=('x',))]
    display.start([(stages[0], 'waiting', 0.0), (stages[1], 'waiting', 0.0)])
    display.started('first')
    display.update([(stages[0], 'running', 0.4), (stages[1], 'waiting', 0.0)])
    display.stop()
    shown = output.getvalue()
    assert all(word in shown for word in ('first', 'second', '40%', 'waiting'))


def test_the_live_display_of_a_long_study_shows_what_runs_and_counts_the_rest():
    output = io.StringIO()
    display = Display('test', Console(file=output, force_terminal=True, width=100))
    stages = [Stage(name=f'stage-{number}', command=('x',)) for number in range(40)]
    state = [(stage, 'waiting', 0.0) for stage in stages]
    state[0], state[1] = (stages[0], 'done', 1.0), (stages[1], 'running', 0.25)
    display.start(state)
    display.stop()
    shown = output.getvalue()
    assert 'stage-1' in shown and '25%' in shown and 'stage-7' not in shown
    assert '1 of 40 done, 38 waiting' in shown


def test_clock():
    assert [clock(seconds) for seconds in (0, 59.6, 125, 3600)] == ['0:00', '1:00', '2:05', '60:00']
