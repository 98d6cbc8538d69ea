import contextlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer

# models are small, so threads do not help
torch.set_num_threads(1)
os.environ.setdefault('OMP_NUM_THREADS', '1')  # of child processes

ROOT = str(Path(__file__).parents[1])
MANAGERS = (DefaultScope, MMLogger, MessageHub, Visualizer)


def pytest_runtest_setup(item):
    if item.get_closest_marker('cuda') and not torch.cuda.is_available():
        pytest.skip('needs a CUDA device')
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False


@contextlib.contextmanager
def globals_kept():
    saved = [dict(manager._instance_dict) for manager in MANAGERS]
    try:
        yield
    finally:
        for handler in [handler for logger in MMLogger._instance_dict.values() for handler in logger.handlers]:
            handler.close()
        for manager, instances in zip(MANAGERS, saved, strict=True):
            manager._instance_dict.clear()
            manager._instance_dict.update(instances)


@pytest.fixture(autouse=True)
def no_globals_left():
    """Restore the global instances that a Runner registers."""
    with globals_kept():
        yield


@pytest.fixture(autouse=True, scope='module')
def no_globals_left_by_a_module():
    """Restore those of Runners in fixtures of a module or session."""
    with globals_kept():
        for manager in MANAGERS:  # session fixtures are set up earlier
            manager._instance_dict.clear()
        yield


@pytest.fixture
def two_ranks(tmp_path):
    """Return a function that runs ``FILE RANK FOLDER`` in two processes and loads ``FOLDER/rankN.pth`` of each."""
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, (ROOT, os.environ.get('PYTHONPATH')))))

    def start(command):
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)

    def run(file):
        with ThreadPoolExecutor(2) as pool:
            ranks = list(pool.map(start, ([sys.executable, file, str(rank), str(tmp_path)] for rank in range(2))))
        assert [rank.returncode for rank in ranks] == [0, 0], '\n'.join(rank.stderr for rank in ranks)
        return [torch.load(tmp_path / f'rank{rank}.pth') for rank in range(2)]

    return run
