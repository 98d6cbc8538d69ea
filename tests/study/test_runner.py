"""Stages as processes: their order, failures, GPUs, and that they end with the study."""

import contextlib
import errno
import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from mixpro_mm.study import runner as module
from mixpro_mm.study.configs import fingerprint, stage_config
from mixpro_mm.study.launch import Launch
from mixpro_mm.study.plan import Plan, Stage
from mixpro_mm.study.processes import bound_command
from mixpro_mm.study.runner import StageError, StudyRunner, is_finished
from mixpro_mm.utils.arguments import format_duration

ROOT = Path(__file__).parents[2]


def plan(*stages, jobs=2):
    return Plan('test', stages, seed=0, jobs=jobs, config='')


def run(work_dir, *stages, jobs=2, launch=None, output=None):
    """Run a plan; what was printed."""
    output = output or io.StringIO()
    runner = StudyRunner(plan(*stages, jobs=jobs), work_dir, launch)
    with contextlib.closing(runner), contextlib.redirect_stdout(output):
        runner.run()
    return output.getvalue()


NOTE = """
import sys, time
log = open("{{work_dir}}/order", "a")
print("{name} begins", file=log, flush=True)
time.sleep(0.3)
for _ in range(1200 if "{beside}" else 0):
    if "{beside} begins" in open(log.name).read():
        break
    time.sleep(0.1)
print("{name} ends", file=log, flush=True)
sys.exit({code})
"""


def note(name, needs=(), code='0', beside=''):
    """A stage that appends its name to a file when it begins and when it ends; it waits for ``beside`` to begin."""
    return Stage(name=name, command=('-c', NOTE.format(name=name, beside=beside, code=code)), needs=needs)


def order(work_dir):
    return (work_dir / 'order').read_text().splitlines()


def test_stages_wait_for_what_they_need(tmp_path):
    run(tmp_path, note('a', beside='c'), note('b', needs=('a',)), note('c'))
    lines = order(tmp_path)
    assert lines.index('a ends') < lines.index('b begins')
    assert lines.index('c begins') < lines.index('a ends')  # a and c side by side
    assert len(lines) == 6


def test_no_more_stages_at_a_time_than_jobs_and_finished_ones_are_skipped(tmp_path):
    said = run(tmp_path, note('a'), note('b'), jobs=1)
    assert said.startswith('test: 2 stages\n') and ', 1 of 2, about 0:' in said
    assert order(tmp_path) == ['a begins', 'a ends', 'b begins', 'b ends']
    assert json.loads((tmp_path / 'a' / 'done.json').read_text())['seconds'] > 0.2
    assert run(tmp_path, note('a'), note('c')).startswith('test: 2 stages, 1 finished already\n')
    assert order(tmp_path).count('a begins') == 1
    assert run(tmp_path / 'one', note('a')).startswith('test: 1 stage\n')


def test_progress_is_printed_now_and_then(tmp_path, monkeypatch):
    monkeypatch.setattr(module, 'QUIET', 0)
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a' / 'progress.json').write_text(json.dumps(dict(done=1, total=2)))
    assert 'a 48%\n' in run(tmp_path, Stage(name='a', command=('-c', 'import time; time.sleep(1)')))
    assert [format_duration(seconds) for seconds in (0, 59.6, 125, 3600)] == ['0:00', '1:00', '2:05', '60:00']


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
    """Those of a rank, not torchrun's report of how it ended the others."""
    said = [f'line {number}' for number in range(20)] + ['ValueError: 42 apples']
    elastic = 'W0101 torch/distributed/elastic/multiprocessing/api.py:1012] '
    said += [elastic + 'Sending process 7 closing signal SIGTERM', elastic + 'failed (exitcode: 1)']
    said += ['Traceback', *['  File "torch/distributed/run.py"'] * 30, 'ChildFailedError']
    script = f'print({chr(10).join(said)!r}); raise SystemExit(3)'
    with pytest.raises(StageError) as error:
        run(tmp_path, Stage(name='bad', command=('-c', script)))
    lines = str(error.value).splitlines()
    assert lines[0].startswith('stage bad failed (exit code 3)')
    assert lines[-2] == '  ValueError: 42 apples' and lines[1] == '  line 9' and len(lines) == 14
    assert lines[-1].endswith(str(tmp_path / 'bad' / 'stage.log'))
    assert not (tmp_path / 'bad' / 'done.json').exists()


def test_stages_that_do_not_wait_for_a_failed_one_continue(tmp_path):
    stages = [
        note('bad', code='1'), note('after', needs=('bad',)), note('later', needs=('after',)),
        note('slow'), note('end', needs=('slow',)), note('worse', code='2', needs=('slow',)),
    ]  # fmt: skip
    output = io.StringIO()
    with pytest.raises(StageError) as error:
        run(tmp_path, *stages, output=output)
    assert output.getvalue().index('bad: failed after 0:0') < output.getvalue().index('end: started')
    lines = str(error.value).splitlines()
    assert lines[0] == '2 stages failed: bad, worse'
    assert [line.split(';')[0] for line in lines if line.startswith('stage')] == [
        'stage bad failed (exit code 1)', 'stage worse failed (exit code 2)',
    ]  # fmt: skip
    assert lines[-1].endswith(': after, later')
    assert {line for line in order(tmp_path) if 'begins' in line} == {
        f'{name} begins' for name in ('bad', 'slow', 'end', 'worse')
    }
    assert (tmp_path / 'end' / 'done.json').exists()
    said = run(tmp_path, *(note(stage.name, needs=stage.needs) for stage in stages))  # fixed, it continues
    assert '6 stages, 2 finished already' in said
    assert order(tmp_path).count('slow begins') == 1 and 'later ends' in order(tmp_path)


def test_what_is_asked_for_later_is_not_finished(tmp_path):
    (tmp_path / 'seg').mkdir()
    for done, once, twice in ((dict(x=1), True, False), (dict(tta=False), True, False), (dict(tta=True), True, True)):
        (tmp_path / 'seg' / 'done.json').write_text(json.dumps(done))
        assert is_finished(Stage(name='seg', config='x'), tmp_path) is once
        assert is_finished(Stage(name='seg', config='x', tta=True), tmp_path) is twice


def test_a_result_that_is_visible_late_is_waited_for(tmp_path, monkeypatch):
    """As on a shared file system, whose folders must be listed; a result that never appears is a failure."""
    listed, listdir = set(), module.os.listdir
    monkeypatch.setattr(module.os, 'listdir', lambda path: listed.add(str(path)) or listdir(path))
    later = f'import subprocess; subprocess.Popen(["sh", "-c", "sleep 2; touch {tmp_path}/product"])'
    stages = Stage(name='late', command=('-c', later), creates=f'{tmp_path}/product'), note('next', needs=('late',))
    said = run(tmp_path, *stages)
    assert said.index('late: finished') < said.index('next: started')
    assert listed == {str(tmp_path)}
    monkeypatch.setattr(module, 'PATIENCE', 1)
    with pytest.raises(StageError, match=r'stage none failed \(exit code 0 and no .*/no after 1 s\)'):
        run(tmp_path, Stage(name='none', command=('-c', 'pass'), creates=f'{tmp_path}/no'))


@pytest.fixture
def transfer(tmp_path):
    """A finished stage 'seg' that started from the checkpoint of a finished stage 'pre'; the folder of the study."""
    (tmp_path / 'pre.py').write_text('model = dict(backbone=dict())')
    row = dict(config=str(tmp_path / 'pre.py'), backbone='DeiT', pretraining='mixpro')
    stages = (Stage(name='pre', task='classification', **row),
              Stage(name='seg', task='segmentation', checkpoint='pre', **row))  # fmt: skip
    work = tmp_path / 'work'
    for stage, start in zip(stages, (None, 'x.pth'), strict=True):
        config = stage_config(stage.config, work / stage.name, 0, start)
        (work / stage.name).mkdir(parents=True)
        mark = fingerprint(config, 'hash' if start else None)
        (work / stage.name / 'done.json').write_text(
            json.dumps(dict(fingerprint=mark, checkpoint='x.pth', checkpoint_sha256='hash'))
        )
    return plan(*stages), work


def test_a_finished_stage_whose_start_is_gone_or_another_is_an_error(transfer):
    stages, work = transfer
    with contextlib.closing(StudyRunner(stages, work)) as runner:
        runner.check_finished()
        done = (work / 'pre' / 'done.json').read_text()
        (work / 'pre' / 'done.json').write_text(done.replace('"hash"', '"other"'))
        with pytest.raises(RuntimeError, match=r'stage seg is finished, but .* holds a stage of another config'):
            runner.check_finished()
        (work / 'pre' / 'done.json').unlink()
        with pytest.raises(
            RuntimeError, match=f'seg is finished, .* from stage pre, .*: restore {work}/pre, or remove'
        ):
            runner.check_finished()


def test_one_study_a_folder(tmp_path):
    first = StudyRunner(plan(note('a')), tmp_path)
    with pytest.raises(RuntimeError, match='another process runs a study in'):
        StudyRunner(plan(note('a')), tmp_path)
    first.close()
    StudyRunner(plan(note('a')), tmp_path).close()


def test_a_folder_that_cannot_be_locked_is_named(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, 'No locks available')

    monkeypatch.setattr(module.fcntl, 'flock', refuse)
    with pytest.raises(RuntimeError, match=f'^{tmp_path}/w cannot be written to and locked: No locks available$'):
        StudyRunner(plan(note('a')), tmp_path / 'w')
    (tmp_path / 'file').touch()
    with pytest.raises(RuntimeError, match=f'^{tmp_path}/file/w cannot be written to and locked: Not a directory$'):
        StudyRunner(plan(note('a')), tmp_path / 'file' / 'w')


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
        assert 'the same command continues from here' in said


GPU_NOTE = """
import os, time
log = open("{work}/gpus", "a")
gpu = os.environ.get("CUDA_VISIBLE_DEVICES")
print("{name}", gpu, "begins", file=log, flush=True)
time.sleep({seconds})
print("{name}", gpu, "ends", file=log, flush=True)
open("{work}/{name}/done.json", "w").write("{{}}")
"""


def on_gpus(tmp_path, monkeypatch, seconds, visible, count, jobs, launch=None):
    """Run a stage for each of ``seconds`` with made-up GPUs; what was printed, and (stage, devices, what) in order."""
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: count)
    if visible is None:
        monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    else:
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', visible)

    def command(plan, stage, work_dir, launch):
        script = GPU_NOTE.format(name=stage.name, work=work_dir, seconds=seconds[int(stage.name[1:])])
        return [sys.executable, '-c', script]

    monkeypatch.setattr(module, 'stage_command', command)
    stages = [Stage(name=f's{n}', config='x') for n in range(len(seconds))]
    said = run(tmp_path, *stages, jobs=jobs, launch=launch)
    return said, [tuple(line.split()) for line in (tmp_path / 'gpus').read_text().splitlines()]


def most_at_once(events):
    """The most stages that ran on each device at a time, and at a time in all."""
    running, most, total = {}, {}, 0
    for _, devices, what in events:
        for device in devices.split(','):
            running[device] = running.get(device, 0) + (1 if what == 'begins' else -1)
            most[device] = max(most.get(device, 0), running[device])
        total = max(total, sum(running.values()))
    return most, total


@pytest.mark.parametrize(
    ('visible', 'count', 'names'),
    [
        (None, 2, {'0', '1'}),
        ('5, 3', 2, {'5', '3'}),
        ('GPU-8932f937,GPU-11f1', 2, {'GPU-8932f937', 'GPU-11f1'}),
        ('MIG-a,MIG-b', 1, {'MIG-a', 'MIG-b'}),  # CUDA shows a process only the first
    ],
)
def test_every_gpu_has_one_stage_at_a_time_and_is_used_again(tmp_path, monkeypatch, visible, count, names):
    said, events = on_gpus(tmp_path, monkeypatch, (2.5, 0, 0, 0), visible, count, jobs=2)
    assert len(events) == 8 and most_at_once(events)[0] == dict.fromkeys(names, 1)
    devices = {stage: device for stage, device, _ in events}
    assert devices['s1'] == devices['s2'] == devices['s3'] != devices['s0']  # the slot that was freed
    assert 'share' not in said


def test_jobs_is_the_number_of_gpus_in_use(tmp_path, monkeypatch):
    _, events = on_gpus(tmp_path, monkeypatch, (1, 1, 1, 1), None, 4, jobs=2)
    assert most_at_once(events) == ({'0': 1, '1': 1}, 2)


def test_more_stages_at_a_time_than_gpus_share_them_evenly_and_it_is_said(tmp_path, monkeypatch):
    said, events = on_gpus(tmp_path, monkeypatch, (2.5, 2.5, 2.5, 2.5), None, 2, jobs=4)
    assert most_at_once(events) == ({'0': 2, '1': 2}, 4)
    assert said.count('4 stages at a time share 2 GPUs') == 1


def test_a_stage_of_several_ranks_has_its_own_gpus(tmp_path, monkeypatch):
    _, events = on_gpus(tmp_path, monkeypatch, (1, 1, 1), '4,5,6,7,8', 5, jobs=9, launch=Launch('pytorch', 2))
    assert {devices for _, devices, _ in events} == {'4,5', '6,7'}
    assert most_at_once(events) == (dict.fromkeys('4567', 1), 4)


@pytest.mark.parametrize('launch', [None, Launch('slurm')])
def test_where_there_is_no_gpu_or_stages_run_elsewhere_the_environment_stays(tmp_path, monkeypatch, launch):
    _, events = on_gpus(tmp_path, monkeypatch, (0,), '3', 1 if launch else 0, jobs=1, launch=launch)
    assert events == [('s0', '3', 'begins'), ('s0', '3', 'ends')]


def test_no_python_code_of_the_study_runs_between_fork_and_exec(tmp_path, monkeypatch):
    """It could wait for ever for a lock that the thread of the live display held; and the stage is as the study was."""
    arguments, popen = [], subprocess.Popen
    monkeypatch.setattr(module.subprocess, 'Popen', lambda *a, **k: arguments.append(k) or popen(*a, **k))
    script = 'import os; s = open("/proc/self/status").read(); open("{work_dir}/s", "w").write(s + os.environ["K"])'
    monkeypatch.setenv('K', 'kept')
    run(tmp_path, Stage(name='a', command=('-c', script)))
    assert 'preexec_fn' not in arguments[0]
    assert (tmp_path / 's').read_text().endswith('kept')


def test_a_bound_process_ends_with_its_parent_and_handles_signals_as_usual(tmp_path):
    status = subprocess.run(bound_command(['cat', '/proc/self/status']), capture_output=True, text=True).stdout
    ignored = int(next(line for line in status.splitlines() if line.startswith('SigIgn')).split()[1], 16)
    assert not ignored & 1 << signal.SIGPIPE - 1
    orphan = bound_command(['touch', str(tmp_path / 'ran')])
    orphan[6] = '1'  # as if the study that is its parent were gone
    subprocess.run(orphan)
    assert not (tmp_path / 'ran').exists()
