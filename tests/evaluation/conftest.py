import itertools

import pytest
from mmengine.runner import Runner

SERIAL = itertools.count()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Collecting the environment takes seconds."""
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)


def loader(batch_size=8, collate='default_collate', pipeline=(), **dataset):
    """Return the config of a loader of the test digits."""
    digits = dict(type='mixpro_mm.Digits', split='test', pipeline=[*pipeline, dict(type='PackInputs')])
    return dict(
        batch_size=batch_size,
        num_workers=0,
        collate_fn=dict(type=collate),
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=digits | dataset,
    )


def runner_for(model, work_dir, data, evaluator, loop=None, load_from=None):
    """Return a Runner that tests a model."""
    return Runner(
        model=model,
        work_dir=str(work_dir),
        test_dataloader=data,
        test_evaluator=evaluator,
        test_cfg=loop or dict(type='TestLoop'),
        load_from=load_from,
        default_scope='mmpretrain',
        experiment_name=f'test-{next(SERIAL)}',
    )
