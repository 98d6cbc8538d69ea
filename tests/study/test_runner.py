"""Processes of stages: order, failures, GPUs, and their end with the study."""

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

ROOT = Path(__file__).parents[2]


def plan(*stages, jobs=2):
    return Plan('test', stages, seed=0, jobs=jobs, config='')


def run(work_dir, *stages, jobs=2, launch=None):
    """Run a plan and return its output."""
    output = io.StringIO()
    runner = StudyRunner(plan(*stages, jobs=jobs), work_dir, launch)
    with contextlib.closing(runner), contextlib.redirect_stdout(output):
        runner.run()
    return output.getvalue()


NOTE = """
import sys, time
log = open("{{work_dir}}/order", "a")
print("{name} begins", file=log, flush=True)
for _ in range(1200 if "{after}" else 0):
    if "{after}" in open(log.name).read():
        break
    time.sleep(0.1)
print("{name} ends", file=log, flush=True)
sys.exit({code})
"""


def note(name, needs=(), code='0', after=''):
    """Return a stage that logs its begin and end, and waits in between for the line ``after`` in the log."""
    return Stage(name=name, command=('-c', NOTE.format(name=name, after=after, code=code)), needs=needs)


def order(work_dir):
    return (work_dir / 'order').read_text().splitlines()


def test_stages_wait_for_what_they_need(tmp_path):
    run(tmp_path, note('a', after='c begins'), note('b', needs=('a',)), note('c'))
    lines = order(tmp_path)
    assert lines.index('a ends') < lines.index('b begins')
    assert lines.index('c begins') < lines.index('a ends')  # a and c run side by side
    assert len(lines) == 6


def test_jobs_limit_the_stages_and_finished_ones_are_skipped(tmp_path):
    output = run(tmp_path, note('a'), note('b'), jobs=1)
    assert output.startswith('test: 2 stages\n') and ', 1 of 2, about 0:' in output
    assert order(tmp_path) == ['a begins', 'a ends', 'b begins', 'b ends']
    assert json.loads((tmp_path / 'a' / 'done.json').read_text())['seconds'] > 0
    assert run(tmp_path, note('a'), note('c')).startswith('test: 2 stages, 1 finished already\n')
    assert order(tmp_path).count('a begins') == 1


def test_progress_is_printed(tmp_path, monkeypatch):
    monkeypatch.setattr(module, 'QUIET', 0)
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a' / 'progress.json').write_text(json.dumps(dict(done=1, total=2)))
    assert 'a 48%\n' in run(tmp_path, Stage(name='a', command=('-c', 'import time; time.sleep(1)')))


def test_a_command_runs_again_if_its_product_is_removed(tmp_path):
    product = tmp_path / 'product'
    stage = Stage(name='make', command=('-c', f'open({str(product)!r}, "a").write("x")'), creates=str(product))
    for _ in range(2):
        run(tmp_path, stage)
        assert product.read_text() == 'x'
    product.unlink()
    run(tmp_path, stage)
    assert product.exists()


def test_a_failed_stage_shows_the_end_of_its_log(tmp_path):
    """The report of torchrun after the error of a rank is left out."""
    lines = [f'line {number}' for number in range(20)] + ['ValueError: 42 apples']
    elastic = 'W0101 torch/distributed/elastic/multiprocessing/api.py:1012] '
    lines += [elastic + 'Sending process 7 closing signal SIGTERM', elastic + 'failed (exitcode: 1)']
    lines += ['Traceback', *['  File "torch/distributed/run.py"'] * 30, 'ChildFailedError']
    script = f'print({chr(10).join(lines)!r}); raise SystemExit(3)'
    with pytest.raises(StageError) as error:
        run(tmp_path, Stage(name='bad', command=('-c', script)))
    lines = str(error.value).splitlines()
    assert lines[0].startswith('stage bad failed (exit code 3)')
    assert lines[-2] == '  ValueError: 42 apples' and lines[1] == '  line 9' and len(lines) == 14
    assert lines[-1].endswith(str(tmp_path / 'bad' / 'stage.log'))
    assert not (tmp_path / 'bad' / 'done.json').exists()


def test_other_stages_continue_after_a_failure(tmp_path):
    stages = [
        note('bad', code='1'), note('after', needs=('bad',)), note('later', needs=('after',)),
        note('slow', after='bad ends'), note('end', needs=('slow',)), note('worse', code='2', needs=('slow',)),
    ]  # fmt: skip
    with pytest.raises(StageError) as error:
        run(tmp_path, *stages)
    lines = str(error.value).splitlines()
    assert lines[0] == '2 stages failed: bad, worse' and lines[-1].endswith(': after, later')
    for name, code in (('bad', 1), ('worse', 2)):
        assert any(line.startswith(f'stage {name} failed (exit code {code})') for line in lines)
    assert {line for line in order(tmp_path) if 'begins' in line} == {
        f'{name} begins' for name in ('bad', 'slow', 'end', 'worse')
    }
    fixed = (stage if stage.name in ('slow', 'end') else note(stage.name, needs=stage.needs) for stage in stages)
    output = run(tmp_path, *fixed)
    assert '6 stages, 2 finished already' in output
    assert order(tmp_path).count('slow begins') == 1 and 'later ends' in order(tmp_path)


def test_a_result_that_is_visible_late(tmp_path, monkeypatch):
    """On a shared file system, the folder must be listed. A result that never appears is a failure."""
    listed, listdir = set(), module.os.listdir
    monkeypatch.setattr(module.os, 'listdir', lambda path: listed.add(str(path)) or listdir(path))
    later = f'import subprocess; subprocess.Popen(["sh", "-c", "sleep 2; touch {tmp_path}/product"])'
    stages = Stage(name='late', command=('-c', later), creates=f'{tmp_path}/product'), note('next', needs=('late',))
    output = run(tmp_path, *stages)
    assert output.index('late: finished') < output.index('next: started')
    assert listed == {str(tmp_path)}
    monkeypatch.setattr(module, 'PATIENCE', 1)
    with pytest.raises(StageError, match=r'stage none failed \(exit code 0 .*/no after 1 s\)'):
        run(tmp_path, Stage(name='none', command=('-c', 'pass'), creates=f'{tmp_path}/no'))


def test_missing_tta_is_not_finished(tmp_path):
    (tmp_path / 'seg').mkdir()
    for done, with_tta in ((dict(x=1), False), (dict(tta=False), False), (dict(tta=True), True)):
        (tmp_path / 'seg' / 'done.json').write_text(json.dumps(done))
        assert is_finished(Stage(name='seg', config='x'), tmp_path)
        assert is_finished(Stage(name='seg', config='x', tta=True), tmp_path) is with_tta


def test_a_finished_stage_whose_parent_changed_or_is_missing(tmp_path):
    (tmp_path / 'pre.py').write_text('model = dict(backbone=dict())')
    row = dict(config=str(tmp_path / 'pre.py'), backbone='DeiT', pretraining='mixpro')
    stages = (Stage(name='pre', task='classification', **row),
              Stage(name='seg', task='segmentation', checkpoint='pre', **row))  # fmt: skip
    work = tmp_path / 'work'
    for stage, start in zip(stages, (None, 'x.pth'), strict=True):
        (work / stage.name).mkdir(parents=True)
        config = stage_config(stage.config, work / stage.name, 0, start)
        done = dict(fingerprint=fingerprint(config, 'hash' if start else None), checkpoint='x.pth')
        (work / stage.name / 'done.json').write_text(json.dumps(done | dict(checkpoint_sha256='hash')))
    with contextlib.closing(StudyRunner(plan(*stages), work)) as runner:
        runner.check_finished()
        done = (work / 'pre' / 'done.json').read_text()
        (work / 'pre' / 'done.json').write_text(done.replace('"hash"', '"other"'))
        with pytest.raises(RuntimeError, match=r'stage seg is finished, but .* holds a stage of another config'):
            runner.check_finished()
        (work / 'pre' / 'done.json').unlink()
        with pytest.raises(RuntimeError, match=f'seg is finished, .* from stage pre, .* {work}/pre,'):
            runner.check_finished()


def test_a_folder_is_locked(tmp_path, monkeypatch):
    first = StudyRunner(plan(), tmp_path)
    with pytest.raises(RuntimeError, match='another process runs a study in'):
        StudyRunner(plan(), tmp_path)
    first.close()
    StudyRunner(plan(), tmp_path).close()
    (tmp_path / 'file').touch()
    with pytest.raises(RuntimeError, match=f'^{tmp_path}/file/w .*: Not a directory$'):
        StudyRunner(plan(), tmp_path / 'file' / 'w')

    def refuse(*_):
        raise OSError(errno.ENOLCK, 'No locks available')

    monkeypatch.setattr(module.fcntl, 'flock', refuse)
    with pytest.raises(RuntimeError, match=f'^{tmp_path}/w .*: No locks available$'):
        StudyRunner(plan(), tmp_path / 'w')


def wait_for(condition):
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def is_alive(pid):
    status = Path(f'/proc/{pid}/status')
    return status.exists() and 'State:\tZ' not in status.read_text()


@pytest.mark.parametrize('how', [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
def test_a_killed_study_ends_its_stages_and_resumes(tmp_path, how):
    """The stage waits in the first run and ends in the second."""
    study, pid = tmp_path / 'study.py', tmp_path / 'pid'
    script = (
        f'import os, time\nfirst = not os.path.exists("{pid}")\n'
        f'open("{pid}", "w").write(str(os.getpid()))\ntime.sleep(600 * first)'
    )
    study.write_text(f"title = 'T'\nstages = [dict(name='slow', command=['-c', {script!r}])]")
    command = [sys.executable, str(ROOT / 'tools' / 'study.py'), str(study), '--work-dir', str(tmp_path / 'work')]
    parent = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: pid.exists() and pid.read_text())
    child = pid.read_text()
    parent.send_signal(how)
    _, errors = parent.communicate(timeout=300)
    wait_for(lambda: not is_alive(child))
    assert not (tmp_path / 'work' / 'slow' / 'done.json').exists()
    if how == signal.SIGINT:
        assert parent.returncode == 130 and 'the same command' in errors
    output = run(tmp_path / 'work', Stage(name='slow', command=('-c', script)))
    assert 'slow: finished' in output and (tmp_path / 'work' / 'slow' / 'done.json').exists()


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
    """Run a stage for each of ``seconds`` with fake GPUs; return the output and (stage, devices, event) in order."""
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
    output = run(tmp_path, *stages, jobs=jobs, launch=launch)
    return output, [tuple(line.split()) for line in (tmp_path / 'gpus').read_text().splitlines()]


def most_at_once(events):
    """Return the maximum number of simultaneous stages for each device and in total."""
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
        ('5, GPU-8932f937', 2, {'5', 'GPU-8932f937'}),
        ('MIG-a,MIG-b', 1, {'MIG-a', 'MIG-b'}),  # CUDA shows only the first one
    ],
)
def test_each_gpu_has_one_stage_at_a_time(tmp_path, monkeypatch, visible, count, names):
    output, events = on_gpus(tmp_path, monkeypatch, (2.5, 0, 0, 0), visible, count, jobs=2)
    assert len(events) == 8 and most_at_once(events)[0] == dict.fromkeys(names, 1)
    devices = {stage: device for stage, device, _ in events}
    assert devices['s1'] == devices['s2'] == devices['s3'] != devices['s0']  # a freed GPU is used again
    assert 'share' not in output


@pytest.mark.parametrize(('count', 'jobs', 'expected'), [(4, 2, ({'0': 1, '1': 1}, 2)), (2, 4, ({'0': 2, '1': 2}, 4))])
def test_jobs_and_gpus(tmp_path, monkeypatch, count, jobs, expected):
    """With more stages at a time than GPUs, they share them evenly, and a line reports it."""
    output, events = on_gpus(tmp_path, monkeypatch, (2,) * 4, None, count, jobs)
    assert most_at_once(events) == expected
    assert output.count('4 stages at a time share 2 GPUs') == (jobs > count)


def test_a_stage_of_several_ranks_has_its_own_gpus(tmp_path, monkeypatch):
    _, events = on_gpus(tmp_path, monkeypatch, (1, 1, 1), '4,5,6,7,8', 5, jobs=9, launch=Launch('pytorch', 2))
    assert {devices for _, devices, _ in events} == {'4,5', '6,7'}
    assert most_at_once(events) == (dict.fromkeys('4567', 1), 4)


@pytest.mark.parametrize('launch', [None, Launch('slurm')])
def test_the_environment_is_kept_without_local_gpus(tmp_path, monkeypatch, launch):
    _, events = on_gpus(tmp_path, monkeypatch, (0,), '3', 1 if launch else 0, jobs=1, launch=launch)
    assert events == [('s0', '3', 'begins'), ('s0', '3', 'ends')]


def test_no_python_code_runs_between_fork_and_exec(tmp_path, monkeypatch):
    """It could deadlock. The stage inherits the environment."""
    arguments, popen = [], subprocess.Popen
    monkeypatch.setattr(module.subprocess, 'Popen', lambda *a, **k: arguments.append(k) or popen(*a, **k))
    monkeypatch.setenv('K', 'kept')
    run(tmp_path, Stage(name='a', command=('-c', 'import os; open("{work_dir}/s", "w").write(os.environ["K"])')))
    assert 'preexec_fn' not in arguments[0] and (tmp_path / 's').read_text() == 'kept'


def test_a_bound_process_ends_with_its_parent(tmp_path):
    status = subprocess.run(bound_command(['cat', '/proc/self/status']), capture_output=True, text=True).stdout
    ignored = int(next(line for line in status.splitlines() if line.startswith('SigIgn')).split()[1], 16)
    assert not ignored & 1 << signal.SIGPIPE - 1  # signals are handled as usual
    orphan = bound_command(['touch', str(tmp_path / 'ran')])
    orphan[6] = '1'  # its parent has ended
    subprocess.run(orphan)
    assert not (tmp_path / 'ran').exists()
