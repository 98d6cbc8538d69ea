"""Runs on one, two and four processes, each started once for all tests."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mixpro_mm.datasets.digit_scenes import write_digit_scenes
from tests.scale import runs

HERE = Path(__file__).parent
CONFIGS = HERE.parents[1] / 'configs'
LIMIT = 1500  # seconds
ON_CPU = dict(
    custom_imports=dict(imports=['on_cpu']),
    env_cfg=dict(dist_cfg=dict(backend='gloo')),
    model_wrapper_cfg=dict(type='MMDistributedDataParallel', device_ids=None),
)


class Bench:
    """A folder with configs, data and runs."""

    def __init__(self, folder):
        self.folder, self.together = folder, {}
        self.environment = dict(os.environ, PYTHONPATH=str(HERE), OMP_NUM_THREADS='1', MPLBACKEND='agg')
        for name in ('RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'):
            self.environment.pop(name, None)

    def config(self, name, base, **settings):
        """Write a config file that changes settings of ``base``; return its path."""
        lines = [f'_base_ = {str(CONFIGS / base)!r}']
        lines += [f'{key} = {value!r}' for key, value in (ON_CPU | settings).items()]
        path = self.folder / f'{name}.py'
        path.write_text('\n'.join(lines) + '\n')
        return path

    def job(self, name, host, tool, config, *arguments):
        """Return a job: a script of a toolkit with its work dir."""
        arguments = [str(config), *map(str, arguments), '--work-dir', str(self.folder / name)]
        return dict(name=name, host=host, tool=tool, arguments=arguments)

    def run(self, processes, jobs):
        """Run the jobs in the same processes; return the error of each job by rank, or ''."""
        launcher = ['--launcher', 'none' if processes == 1 else 'pytorch']
        jobs = [job | dict(arguments=job['arguments'] + launcher) for job in jobs]
        path = self.folder / f'jobs{processes}-{jobs[0]["name"]}.json'
        path.write_text(json.dumps(jobs))
        start = [] if processes == 1 else ['-m', 'torch.distributed.run', '--standalone', '--nproc_per_node']
        start += [] if processes == 1 else [str(processes)]
        self.call(sys.executable, *start, HERE / 'on_cpu.py', path)
        return {job['name']: [self.error(job['name'], rank) for rank in range(processes)] for job in jobs}

    def call(self, *command):
        """Run a command and return its output."""
        log = self.folder / 'log.txt'
        with log.open('w') as out:
            done = subprocess.run(
                [*map(str, command)],
                cwd=self.folder,
                env=self.environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=LIMIT,
            )
        assert done.returncode == 0, log.read_text()[-6000:]
        return log.read_text()

    def error(self, name, rank):
        return (self.folder / f'{name}.rank{rank}').read_text()

    def seen(self, name, rank=0):
        """Return the observations of a rank."""
        return json.loads((self.folder / name / f'rank{rank}.json').read_text())

    def parameters(self, name, rank=0):
        """Return the final parameters of a rank."""
        return torch.load(self.folder / name / f'rank{rank}.pth')


@pytest.fixture(scope='session')
def bench(tmp_path_factory):
    """Return the folder, with 7 validation scenes, which is no multiple of 2."""
    folder = tmp_path_factory.mktemp('scale')
    write_digit_scenes(folder / 'scenes', num_train=8, num_val=7)
    return Bench(folder)


@pytest.fixture(scope='session')
def alone(bench):
    """Run all jobs in one process; other jobs use the checkpoints."""
    jobs = [
        runs.pretrain(bench, 'deit1', runs.DEIT, 1),
        runs.pretrain(bench, 'pvt1', runs.PVT, 1),
        runs.learn(bench, 'eight', runs.EIGHT),
        runs.learn(bench, 'ten', runs.DEIT, model=dict(train_cfg=dict(_delete_=True))),
        runs.transfer(bench, 'segmentation1', 'segmentation', bench.folder / 'deit1/epoch_2.pth', 20),
        runs.transfer(bench, 'detection1', 'detection', bench.folder / 'pvt1/epoch_2.pth', 2),
        *runs.evaluations(bench, '1'),
    ]
    errors = bench.run(1, jobs)
    failed = {name: error for name, (error,) in errors.items() if error}
    assert not failed
    return errors


@pytest.fixture(scope='session', params=[2, 4])
def together(bench, alone, request):
    """Return the number of processes and the errors of their runs by name."""
    count = request.param
    if count in bench.together:  # pytest sets up a parameter again after another
        return count, bench.together[count]
    jobs = [
        runs.pretrain(bench, f'deit{count}', runs.DEIT, count),
        runs.pretrain(bench, f'pvt{count}', runs.PVT, count),
        runs.transfer(bench, f'segmentation{count}', 'segmentation', bench.folder / 'deit1/epoch_2.pth', 3),
        runs.transfer(bench, f'detection{count}', 'detection', bench.folder / 'pvt1/epoch_2.pth', 2),
        runs.transfer(bench, f'refused{count}', 'segmentation', bench.folder / 'pvt1/epoch_2.pth', 3),
        *runs.evaluations(bench, str(count)),
    ]
    bench.together[count] = bench.run(count, jobs)
    return count, bench.together[count]
