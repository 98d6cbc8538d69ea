"""RecordedTestLoop in a Runner."""

import hashlib
import itertools
import json

import pytest
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmpretrain.evaluation import Accuracy

import mixpro_mm
from mixpro_mm.evaluation import record

IMAGES = 24
SERIAL = itertools.count()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Collecting the environment takes seconds."""
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)


class Linear(BaseModel):
    """A linear classifier of the digits."""

    def __init__(self, seed):
        super().__init__()
        self.layer = torch.nn.Linear(192, 10)
        torch.nn.init.normal_(self.layer.weight, generator=torch.Generator().manual_seed(seed))

    def forward(self, inputs, data_samples=None, mode='predict'):
        scores = self.layer(inputs.float().flatten(1) / 255).softmax(1)
        return [sample.set_pred_score(row) for sample, row in zip(data_samples, scores, strict=True)]


class Odd(BaseMetric):
    """Reports a tensor, or fails."""

    def __init__(self, fail=False):
        super().__init__()
        self.fail = fail

    def process(self, data_batch, data_samples):
        self.results += data_samples

    def compute_metrics(self, results):
        if self.fail:
            raise RuntimeError('the metric fails')
        return dict(matrix=torch.eye(2), seen=len(results))


def runner_of(folder, seed=0, evaluator=None, weights=True, loop='mixpro_mm.RecordedTestLoop', **arguments):
    """Build a Runner that tests the model of a seed in ``folder / 'work'``."""
    model = Linear(seed)
    path = folder / f'{seed}.pth'
    if weights and not path.exists():
        torch.save(dict(state_dict=model.state_dict()), path)
    packed = [dict(type='PackInputs')]
    return Runner(
        model,
        str(folder / 'work'),
        test_dataloader=dict(
            batch_size=10,
            num_workers=0,
            collate_fn=dict(type='default_collate'),
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dict(type='mixpro_mm.Digits', split='test', img_size=8, indices=IMAGES, pipeline=packed),
        ),
        test_evaluator=evaluator or dict(type='Accuracy', topk=(1,)),
        test_cfg=dict(type=loop, **arguments),
        load_from=str(path) if weights else None,
        default_scope='mmpretrain',
        experiment_name=f'record-{next(SERIAL)}',
    )


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def records(folder):
    return {path.name: json.loads(path.read_text()) for path in (folder / 'work').glob('*.json')}


def test_a_record_has_results_and_origin(tmp_path):
    metrics = runner_of(tmp_path, label='mine', out='a.json').test()
    assert metrics == runner_of(tmp_path, loop='TestLoop').test()
    (name, found), *others = records(tmp_path).items()
    settings = found.pop('settings')
    path = tmp_path / '0.pth'
    assert (name, others) == ('a.json', [])
    assert found == dict(
        kind='test', label='mine', config=None, checkpoint=str(path), sha256=sha256(path), images=IMAGES,
        version=mixpro_mm.__version__, metrics=metrics,
    )  # fmt: skip
    assert settings == dict(
        dataset='Digits', data_root='', data={}, indices=None, evaluator=dict(type='Accuracy', topk=[1]), batch_size=10,
        processes=1, fp16=False,
    )  # fmt: skip


def test_the_same_test_overwrites_its_record(tmp_path):
    for _ in range(2):
        runner_of(tmp_path).test()
        (tmp_path / 'work' / 'test.png').write_text('a picture')
    assert list(records(tmp_path)) == ['test.json']
    assert [path.name for path in (tmp_path / 'work').glob('*.png')] == ['test.png']


def test_the_record_of_another_checkpoint_is_kept(tmp_path):
    written = []
    for seed in range(3):
        runner_of(tmp_path, seed).test()
        written.append((tmp_path / 'work' / 'test.json').read_bytes())
        (tmp_path / 'work' / 'test.png').write_text(f'picture {seed}')
    hashes = [sha256(tmp_path / f'{seed}.pth') for seed in range(3)]
    names = [f'test-{hashes[0][:8]}', f'test-{hashes[1][:8]}', 'test']
    assert set(records(tmp_path)) == {f'{name}.json' for name in names}
    for seed, name in enumerate(names):
        assert (tmp_path / 'work' / f'{name}.json').read_bytes() == written[seed]
        assert json.loads(written[seed])['sha256'] == hashes[seed]
        assert (tmp_path / 'work' / f'{name}.png').read_text() == f'picture {seed}'
    logs = ' '.join(path.read_text() for path in tmp_path.rglob('*.log'))
    assert f'kept as {tmp_path}/work/{names[0]}.json' in logs


def test_the_record_of_other_settings_is_kept(tmp_path):
    for topk in ((1,), (1, 5), (5,)):
        runner_of(tmp_path, evaluator=dict(type='Accuracy', topk=topk)).test()
    stem = f'test-{sha256(tmp_path / "0.pth")[:8]}'
    found = {name: content['settings']['evaluator']['topk'] for name, content in records(tmp_path).items()}
    assert found == {f'{stem}.json': [1], f'{stem}-2.json': [1, 5], 'test.json': [5]}


@pytest.mark.parametrize('content', ['half a rec', '[1, 2]', '{"kind": "other"}'])
def test_other_files_are_kept(content, tmp_path):
    (tmp_path / 'work').mkdir()
    (tmp_path / 'work' / 'test.json').write_text(content)
    runner_of(tmp_path).test()
    assert (tmp_path / 'work' / 'test-unknown.json').read_text() == content
    assert json.loads((tmp_path / 'work' / 'test.json').read_text())['kind'] == 'test'


def test_records_of_unknown_checkpoints_are_kept(tmp_path):
    for _ in range(2):
        runner_of(tmp_path, weights=False).test()
    found = records(tmp_path)
    assert set(found) == {'test.json', 'test-unknown.json'}
    assert {content['sha256'] for content in found.values()} == {None}


def test_a_failed_test_keeps_the_old_record(tmp_path):
    runner_of(tmp_path).test()
    before = (tmp_path / 'work' / 'test.json').read_bytes()
    with pytest.raises(RuntimeError, match='the metric fails'):
        runner_of(tmp_path, 1, evaluator=[Odd(fail=True)]).test()
    assert (tmp_path / 'work' / 'test.json').read_bytes() == before
    assert list(records(tmp_path)) == ['test.json']


@pytest.mark.parametrize('evaluator', [[Accuracy(), Odd()], Evaluator([Accuracy(), Odd()])])
def test_settings_have_class_names_and_metrics_only_numbers(evaluator, tmp_path):
    metrics = runner_of(tmp_path, evaluator=evaluator).test()
    found = records(tmp_path)['test.json']
    assert found['metrics'] == {'accuracy/top1': metrics['accuracy/top1'], 'seen': IMAGES}
    named = ['Accuracy', 'Odd'] if isinstance(evaluator, list) else 'Evaluator'
    assert found['settings']['evaluator'] == named


def test_only_the_main_process_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(record, 'is_main_process', lambda: False)
    assert set(runner_of(tmp_path).test()) == {'accuracy/top1'}
    assert records(tmp_path) == {}


def test_the_file_name_is_checked_at_construction(tmp_path):
    runner = runner_of(tmp_path, out='test.yaml')
    with pytest.raises(ValueError, match=r"out .* 'test.yaml'"):
        runner.build_test_loop(runner._test_loop)
