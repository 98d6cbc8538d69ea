"""Runs of shortened configs on one, two and four processes, each started once for all tests."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mixpro_mm.datasets.digit_scenes import write_digit_scenes
from tests.config_rows import CONFIGS, read

HERE = Path(__file__).parent
NO_VALIDATION = dict(val_dataloader=None, val_evaluator=None, val_cfg=None)
ON_CPU = dict(
    custom_imports=dict(imports=['on_cpu']),
    env_cfg=dict(dist_cfg=dict(backend='gloo')),
    model_wrapper_cfg=dict(type='MMDistributedDataParallel', device_ids=None),
    randomness=dict(seed=0),
)
WITNESS, PACK = dict(type='Witness'), [dict(type='PackInputs')]
LARGER = [dict(type='Resize', scale=64, interpolation='bicubic'), *PACK]
DEIT, PVT = 'digits/deit-micro_mixpro_digits.py', 'digits/pvt-micro_mixpro_digits.py'
BATCHES = BATCH = 8  # batches per epoch of all ranks, and their size
DEALT = dict(_delete_=True, type='Dealt')
LEARN = dict(  # one epoch, for evaluations
    custom_hooks=[],
    optim_wrapper=dict(),
    train_cfg=dict(max_epochs=1, val_interval=100),
    train_dataloader=dict(batch_size=32, sampler=dict(DEALT, batch=32, batches=33), dataset=dict(pipeline=PACK)),
    default_hooks=dict(checkpoint=dict(interval=1)),
)


class Bench:
    """A folder with configs, data and runs."""

    def __init__(self, folder):
        self.folder, self.together = folder, {}
        paths = os.pathsep.join([str(HERE), str(HERE.parents[1])])
        self.environment = dict(os.environ, PYTHONPATH=paths, OMP_NUM_THREADS='1', MPLBACKEND='agg')
        for name in ('RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'):
            self.environment.pop(name, None)

    def job(self, name, host, tool, base, *arguments, **settings):
        """Return a job: a script of a toolkit with its work dir, and a config that changes settings of ``base``."""
        lines = [f'_base_ = {str(CONFIGS / base)!r}']
        lines += [f'{key} = {value!r}' for key, value in (ON_CPU | settings).items()]
        (self.folder / f'{name}.py').write_text('\n'.join(lines))
        arguments = [f'{self.folder / name}.py', *map(str, arguments), '--work-dir', str(self.folder / name)]
        return dict(name=name, host=host, tool=tool, arguments=arguments)

    def pretrain(self, name, base, processes=1, **settings):
        """Return a job of two epochs whose batches and masks do not depend on the number of processes."""
        sgd = dict(_delete_=True, optimizer=dict(type='SGD', lr=0.05, momentum=0.9))
        plain = dict(
            custom_hooks=[dict(type='mixpro_mm.LabelingHook'), dict(type='SeedByBatch'), WITNESS],
            optim_wrapper=dict(sgd, accumulative_counts=4 // processes),
            param_scheduler=[],
            train_cfg=dict(max_epochs=2, val_interval=100),
            train_dataloader=dict(
                batch_size=BATCH,
                sampler=dict(DEALT, batch=BATCH, batches=BATCHES),
                dataset=dict(pipeline=LARGER if base == PVT else PACK),  # only the mixing is random
            ),
            default_hooks=dict(logger=dict(interval=1), checkpoint=dict(interval=2) if processes == 1 else None),
        )
        return self.job(name, 'mmpretrain', 'train', base, **(plain | NO_VALIDATION | settings))

    def transfer(self, name, start):
        """Return a job that fine-tunes a segmenter for three iterations."""
        saved = dict(_delete_=True, type='CheckpointHook', interval=3, by_epoch=False)
        settings = dict(
            model=dict(backbone=dict(init_cfg=dict(checkpoint=str(self.folder / start / 'epoch_2.pth')))),
            custom_hooks=[dict(type='mixpro_mm.TransferCheckHook'), WITNESS],
            train_dataloader=dict(batch_size=2, dataset=dict(data_root=f'{self.folder}/scenes/VOCdevkit/VOC2010')),
            train_cfg=dict(_delete_=True, type='IterBasedTrainLoop', max_iters=3, val_interval=1000),
            default_hooks=dict(logger=dict(interval=1), checkpoint=saved),
        )
        base = 'digits/segmenter_deit-micro_mixpro_digit-scenes.py'
        return self.job(name, 'mmseg', 'train', base, **NO_VALIDATION, **settings)

    def common(self, count):
        """Return the jobs for each number of processes: training, and evaluation of the checkpoints of one process."""
        plain, mixed = self.folder / 'plain/epoch_1.pth', self.folder / 'deit1/epoch_2.pth'
        naseer = dict(modes=['random', 'salient'], ratios=dict(random=[0.2, 0.5], salient=[0.5]), repeats=2)
        saliency = read(CONFIGS / DEIT).model.backbone.to_dict()
        naseer['saliency'] = dict(saliency, _delete_=True, checkpoint=str(mixed))
        by_count = dict(ratios=[0.4], modes=['random', 'non-salient'], repeats=2, protocol='count')
        recorded = dict(_delete_=True, type='mixpro_mm.RecordedTestLoop')
        calibration = dict(type='mixpro_mm.CalibrationMetric', bin_size=25)
        ood = dict(dataset=dict(type='DigitsWithOOD', pipeline=[dict(type='PackInputs', algorithm_keys=['ood'])]))
        jobs = [self.pretrain(f'deit{count}', DEIT, count), self.pretrain(f'pvt{count}', PVT, count)]
        for name, test_cfg, evaluator, loader in (
            ('calibration', dict(recorded, out='calibration.json'), dict(_delete_=True, **calibration), {}),
            ('ood', dict(recorded, out='ood.json'), dict(_delete_=True, type='mixpro_mm.OODMetric'), ood),
            ('naseer', naseer, [dict(type='Accuracy', topk=(1,)), calibration], {}),
            ('count', by_count, {}, {}),
        ):
            start = f'{name}{count}', 'mmpretrain', 'test', 'robustness/deit-micro_occlusion_digits.py', plain
            settings = dict(custom_hooks=[WITNESS], test_dataloader=dict(batch_size=32, **loader))
            jobs.append(self.job(*start, test_cfg=test_cfg, test_evaluator=evaluator, **settings))
        return [*jobs, self.transfer(f'segmenter{count}', 'deit1')]

    def run(self, processes, jobs):
        """Run the jobs in the same processes; return the error of each job by rank, or ''."""
        launcher = ['--launcher', 'none' if processes == 1 else 'pytorch']
        path = self.folder / f'jobs{processes}-{jobs[0]["name"]}.json'
        path.write_text(json.dumps([job | dict(arguments=job['arguments'] + launcher) for job in jobs]))
        start = ['-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', processes]
        self.call(sys.executable, *(start if processes > 1 else []), HERE / 'on_cpu.py', path)
        names, ranks = [job['name'] for job in jobs], range(processes)
        return {name: [(self.folder / f'{name}.rank{rank}').read_text() for rank in ranks] for name in names}

    def call(self, *command):
        """Run a command and return its output."""
        streams = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        done = subprocess.run(map(str, command), cwd=self.folder, env=self.environment, timeout=1500, **streams)
        assert done.returncode == 0, done.stdout[-6000:]
        return done.stdout

    def seen(self, name, rank=0):
        """Return the observations of a rank."""
        return json.loads((self.folder / name / f'rank{rank}.json').read_text())

    def parameters(self, name, rank=0):
        """Return the final parameters of a rank."""
        return torch.load(self.folder / name / f'rank{rank}.pth')

    def agreed(self, name, count):
        """Return the final parameters, after a check that ranks with different batches have the same."""
        first, *others = (self.parameters(name, rank) for rank in range(count))
        for mine in others:
            torch.testing.assert_close(mine, first, rtol=0, atol=0)
        assert len({self.seen(name, rank)['loss'] for rank in range(count)}) == count
        return first


@pytest.fixture(scope='session')
def bench(tmp_path_factory):
    """Return the folder, with 7 validation scenes, which is no multiple of 2."""
    folder = tmp_path_factory.mktemp('scale')
    write_digit_scenes(folder / 'scenes', num_train=8, num_val=7)
    return Bench(folder)


@pytest.fixture(scope='session')
def alone(bench):
    """Run all jobs in one process; other jobs use the checkpoints."""
    plain = bench.pretrain('plain', DEIT, model=dict(train_cfg=dict(_delete_=True)), **LEARN)
    errors = bench.run(1, [plain, *bench.common(1)])
    assert set().union(*errors.values()) == {''}


@pytest.fixture(scope='session', params=[2, 4])
def together(bench, alone, request):
    """Return the number of processes and the errors of their runs by name."""
    count = request.param
    if count not in bench.together:  # pytest sets up a parameter again after another
        jobs = [*bench.common(count), bench.transfer(f'refused{count}', 'pvt1')]
        bench.together[count] = bench.run(count, jobs)
    return count, bench.together[count]
