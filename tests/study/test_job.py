"""The job of a stage, as submitit runs it, and its end at a signal."""

import contextlib
import os
import pickle
import signal
import threading
import time

import pytest

from mixpro_mm.study import job
from mixpro_mm.study.job import StageJob
from mixpro_mm.study.launch import Launch
from mixpro_mm.study.plan import Plan, Stage

PRINT = 'import os; print(*(os.environ.get(name) for name in ("MASTER_PORT", "MASTER_ADDR", "OMP_NUM_THREADS")))'
WAIT = 'import time; print("ready", flush=True); time.sleep({}); raise SystemExit(3)'


def task(work_dir, name, script, **options):
    plan = Plan('T', (Stage(name, command=('-c', script)),), 0, 1, '')
    return StageJob(plan, name, work_dir, Launch('slurm', **options))


def test_environment_and_failure_of_a_task(tmp_path, monkeypatch):
    """Ports differ between stages and studies."""
    monkeypatch.setenv('MASTER_ADDR', 'elsewhere')
    lines = []
    for folder, name in (('w', 'a'), ('w', 'b'), ('v', 'a')):
        (tmp_path / folder).mkdir(exist_ok=True)
        for _ in range(2):
            task(tmp_path / folder, name, PRINT, slurm=dict(cpus_per_task=9))()
        lines.append((tmp_path / folder / name / 'stage.log').read_text().splitlines())
    assert [len(set(each)) for each in lines] == [1, 1, 1] and len({each[0] for each in lines}) == 3
    port, address, threads = lines[0][0].split()
    assert 20000 <= int(port) < 32768 and (address, threads) == ('None', '9')
    with pytest.raises(RuntimeError, match='exit code 3'):
        task(tmp_path, 'c', 'raise SystemExit(3)')()


@contextlib.contextmanager
def signalled(log, handler):
    """Call ``handler`` at SIGUSR2, which this process gets when ``log`` has text."""

    def send():
        while not (log.exists() and log.read_text()):
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGUSR2)

    before, thread = signal.signal(signal.SIGUSR2, handler), threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        thread.join()
        signal.signal(signal.SIGUSR2, before)


class RequeueError(Exception):
    """In the place of SystemExit, by which submitit ends the first task."""


def test_a_signal_stops_a_stage_and_requeues_the_job(tmp_path):
    stage, found = task(tmp_path, 'a', WAIT.format(60)), []

    def handler(number, frame):
        found.extend([stage.child, stage.checkpoint()])
        raise RequeueError

    with pytest.raises(RequeueError), signalled(tmp_path / 'a' / 'stage.log', handler):
        stage()
    child, submission = found
    assert child.returncode == -signal.SIGUSR2
    assert pickle.loads(pickle.dumps(submission)).function.name == 'a'


def test_other_tasks_do_not_fail_after_the_signal(tmp_path, monkeypatch):
    """submitit only notes the signal there; a failure would end the first task, which may still save."""
    monkeypatch.setattr(job, 'SIGNAL_DELAY', 3)
    begin = time.monotonic()
    with pytest.raises(RuntimeError, match='3'), signalled(tmp_path / 'a' / 'stage.log', lambda *_: None):
        task(tmp_path, 'a', WAIT.format(1))()
    assert time.monotonic() - begin > 4
