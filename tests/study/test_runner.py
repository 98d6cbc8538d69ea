"""Processes of stages: order, failures, GPUs, and their end with the study."""

import contextlib
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
from mixpro_mm.study.runner import StageError, StudyRunner

ROOT = Path(__file__).parents[2]


def study(work_dir, *stages, jobs=2, launch=None):
    plan = Plan('test', stages, seed=0, jobs=jobs, config='')
    return contextlib.closing(StudyRunner(plan, work_dir, launch))


def run(work_dir, *stages, **options):
    """Run a plan and return its output."""
    output = io.StringIO()
    with study(work_dir, *stages, **options) as runner, contextlib.redirect_stdout(output):
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


def test_jobs_limit_the_stages_and_finished_ones_are_skipped(tmp_path):
    output = run(tmp_path, note('a'), note('b'), jobs=1)
    assert output.startswith('test: 2 stages\n') and ', 1 of 2, about 0:' in output
    assert order(tmp_path) == ['a begins', 'a ends', 'b begins', 'b ends']
    assert json.loads((tmp_path / 'a' / 'done.json').read_text())['seconds'] > 0
    assert run(tmp_path, note('a'), note('c')).startswith('test: 2 stages, 1 finished already\n')
    assert order(tmp_path).count('a begins') == 1


def test_a_command_runs_again_if_its_product_is_removed(tmp_path, monkeypatch):
    """Its progress is printed."""
    monkeypatch.setattr(module, 'QUIET', 0)
    product, progress = tmp_path / 'product', tmp_path / 'a' / 'progress.json'
    progress.parent.mkdir()
    progress.write_text(json.dumps(dict(done=1, total=2)))
    script = f'import time; time.sleep(1); open({str(product)!r}, "a").write("x")'
    stage = Stage(name='a', command=('-c', script), creates=str(product))
    for finished in (False, True):
        assert ('a 48%\n' in run(tmp_path, stage)) is not finished
        assert product.read_text() == 'x'
    product.unlink()
    run(tmp_path, stage)
    assert product.exists()


def test_a_failed_stage_shows_the_end_of_its_log(tmp_path):
    """The report of torchrun after the error of a rank is left out."""
    lines = [f'line {number}' for number in range(20)] + ['ValueError: 42 apples']
    lines += ['W0101 torch/distributed/elastic/multiprocessing/api.py:1012] Sending process 7 closing signal SIGTERM']
    lines += ['Traceback', *['  File "torch/distributed/run.py"'] * 30, 'ChildFailedError']
    script = f'print({chr(10).join(lines)!r}); raise SystemExit(3)'
    with pytest.raises(StageError) as error:
        run(tmp_path, Stage(name='bad', command=('-c', script)))
    lines = str(error.value).splitlines()
    assert lines[0].startswith('stage bad failed (exit code 3)')
    assert lines[-2] == '  ValueError: 42 apples' and lines[1] == '  line 9' and len(lines) == 14
    assert lines[-1].endswith(str(tmp_path / 'bad' / 'stage.log'))


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
    assert order(tmp_path).index('slow ends') < order(tmp_path).index('end begins')
    begun = {line.removesuffix(' begins') for line in order(tmp_path) if 'begins' in line}
    assert begun == {'bad', 'slow', 'end', 'worse'}
    fixed = (stage if stage.name in ('slow', 'end') else note(stage.name, needs=stage.needs) for stage in stages)
    assert '6 stages, 2 finished already' in run(tmp_path, *fixed)
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


def test_a_finished_stage_whose_parent_changed_or_is_missing(tmp_path):
    (tmp_path / 'pre.py').write_text('model = dict(backbone=dict())')
    stages = [Stage(name='pre', config=f'{tmp_path}/pre.py'), Stage('seg', f'{tmp_path}/pre.py', checkpoint='pre')]
    for stage, start in zip(stages, (None, 'x.pth'), strict=True):
        (tmp_path / stage.name).mkdir()
        config = stage_config(stage.config, tmp_path / stage.name, 0, start)
        done = dict(fingerprint=fingerprint(config, 'hash' if start else None), checkpoint='x.pth')
        (tmp_path / stage.name / 'done.json').write_text(json.dumps(done | dict(checkpoint_sha256='hash')))
    with study(tmp_path, *stages) as runner:
        runner.check_finished()
        parent = tmp_path / 'pre' / 'done.json'
        parent.write_text(parent.read_text().replace('"hash"', '"other"'))
        with pytest.raises(RuntimeError, match=r'stage seg is finished, but .* holds a stage of another config'):
            runner.check_finished()
        parent.unlink()
        with pytest.raises(RuntimeError, match=f'seg is finished, .* from stage pre, .* {tmp_path}/pre,'):
            runner.check_finished()


def wait_for(condition):
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def ends(pid):
    """Wait until a process has ended or is a zombie."""
    status = Path(f'/proc/{pid}/status')
    wait_for(lambda: not status.exists() or 'State:\tZ' in status.read_text())


@pytest.mark.parametrize('how', [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
def test_a_killed_study_ends_its_stages_and_resumes(tmp_path, how):
    config, pid = tmp_path / 'study.py', tmp_path / 'pid'
    script = f'import os, time; open("{pid}", "w").write(str(os.getpid())); time.sleep(600)'
    config.write_text(f"title = 'T'\nstages = [dict(name='slow', command=['-c', {script!r}])]")
    command = [sys.executable, str(ROOT / 'tools' / 'study.py'), str(config), '--work-dir', str(tmp_path / 'work')]
    parent = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: pid.exists() and pid.read_text())
    child = pid.read_text()
    parent.send_signal(how)
    _, errors = parent.communicate(timeout=300)
    ends(child)
    assert not (tmp_path / 'work' / 'slow' / 'done.json').exists()
    if how == signal.SIGINT:
        assert parent.returncode == 130 and 'the same command' in errors
    assert 'slow: finished' in run(tmp_path / 'work', note('slow'))


@pytest.mark.long
def test_ranks_end_with_a_killed_torchrun(tmp_path):
    script = tmp_path / 'rank.py'
    script.write_text(
        'import os, time\nfrom mixpro_mm.study.processes import die_with_parent\ndie_with_parent(os.getppid())\n'
        f'open({str(tmp_path)!r} + "/pid" + os.environ["RANK"], "w").write(str(os.getpid()))\ntime.sleep(600)\n'
    )
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', '2', str(script)]
    parent = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pids = [tmp_path / f'pid{rank}' for rank in range(2)]
    wait_for(lambda: parent.poll() is not None or all(path.exists() and path.read_text() for path in pids))
    parent.kill()
    parent.wait()
    for path in pids:
        ends(path.read_text())


GPU_NOTE = """
import os, time
log = open("{work}/gpus", "a")
gpu = os.environ.get("CUDA_VISIBLE_DEVICES")
print("{name}", gpu, 1, file=log, flush=True)
time.sleep({seconds})
print("{name}", gpu, -1, file=log, flush=True)
open("{work}/{name}/done.json", "w").write("{{}}")
"""
FOUR = (2,) * 4  # seconds of each stage


@pytest.mark.parametrize(
    ('seconds', 'visible', 'count', 'jobs', 'launch', 'most', 'total'),
    [
        ((2.5, 0, 0, 0), '5, GPU-8932f937', 2, 2, None, {'5': 1, 'GPU-8932f937': 1}, 2),
        ((2.5, 0, 0, 0), 'MIG-a,MIG-b', 1, 2, None, {'MIG-a': 1, 'MIG-b': 1}, 2),  # CUDA shows only the first one
        (FOUR, None, 4, 2, None, {'0': 1, '1': 1}, 2),
        (FOUR, None, 2, 4, None, {'0': 2, '1': 2}, 4),  # they share GPUs evenly
        ((1, 1, 1), '4,5,6,7,8', 5, 9, Launch('pytorch', 2), {'4,5': 1, '6,7': 1}, 2),
        ((0,), '3', 0, 1, None, {'3': 1}, 1),  # without local GPUs, the environment is kept
        ((0,), '3', 1, 1, Launch('slurm'), {'3': 1}, 1),
    ],
)
def test_stages_on_gpus(tmp_path, monkeypatch, seconds, visible, count, jobs, launch, most, total):
    """``most`` and ``total`` are the maximum numbers of simultaneous stages, for each set of devices and in total."""
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: count)
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    if visible is not None:
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', visible)

    def command(plan, stage, work_dir, launch):
        script = GPU_NOTE.format(name=stage.name, work=work_dir, seconds=seconds[int(stage.name[1:])])
        return [sys.executable, '-c', script]

    monkeypatch.setattr(module, 'stage_command', command)
    run(tmp_path, *(Stage(name=f's{n}', config='x') for n in range(len(seconds))), jobs=jobs, launch=launch)
    events, running, highest, sums = [line.split() for line in (tmp_path / 'gpus').open()], {}, {}, []
    assert len(events) == 2 * len(seconds)
    for _, devices, change in events:
        running[devices] = running.get(devices, 0) + int(change)
        highest[devices] = max(highest.get(devices, 0), running[devices])
        sums.append(sum(running.values()))
    assert (highest, max(sums)) == (most, total)
    if seconds[0] == 2.5:
        used = {stage: devices for stage, devices, _ in events}
        assert used['s1'] == used['s2'] == used['s3'] != used['s0']  # a freed GPU is used again
