"""RecordedTestLoop in a Runner."""

import hashlib
import json

import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.model import BaseModel
from mmpretrain.evaluation import Accuracy, ConfusionMatrix

import mixpro_mm
from mixpro_mm.evaluation import record
from tests.evaluation.conftest import loader, runner_for

IMAGES = 24


class Linear(BaseModel):
    """A linear classifier of the digits."""

    def __init__(self, seed):
        super().__init__()
        self.layer = torch.nn.Linear(192, 10)
        torch.nn.init.normal_(self.layer.weight, generator=torch.Generator().manual_seed(seed))

    def forward(self, inputs, data_samples=None, mode='predict'):
        scores = self.layer(inputs.float().flatten(1) / 255).softmax(1)
        return [sample.set_pred_score(row) for sample, row in zip(data_samples, scores, strict=True)]


def runner_of(folder, seed=0, evaluator=None, weights=True, loop='mixpro_mm.RecordedTestLoop', **arguments):
    """Build a Runner that tests the model of a seed in ``folder / 'work'``."""
    model, path = Linear(seed), folder / f'{seed}.pth'
    if weights and not path.exists():
        torch.save(dict(state_dict=model.state_dict()), path)
    data = loader(10, img_size=8, indices=IMAGES)
    evaluator, load_from = evaluator or dict(type='Accuracy', topk=(1,)), str(path) if weights else None
    return runner_for(model, folder / 'work', data, evaluator, dict(type=loop, **arguments), load_from)


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


def test_the_same_test_overwrites_its_record_and_another_checkpoint_does_not(tmp_path):
    written, work_dir = [], tmp_path / 'work'
    for seed in range(3):
        for _ in range(2 if seed == 0 else 1):
            runner_of(tmp_path, seed).test()
        written.append((work_dir / 'test.json').read_bytes())
        (work_dir / 'test.png').write_text(f'picture {seed}')
    hashes = [sha256(tmp_path / f'{seed}.pth') for seed in range(3)]
    names = [f'test-{hashes[0][:8]}', f'test-{hashes[1][:8]}', 'test']
    assert set(records(tmp_path)) == {f'{name}.json' for name in names}
    for seed, name in enumerate(names):
        assert (work_dir / f'{name}.json').read_bytes() == written[seed]
        assert json.loads(written[seed])['sha256'] == hashes[seed]
        assert (work_dir / f'{name}.png').read_text() == f'picture {seed}'


def test_the_record_of_other_settings_is_kept(tmp_path):
    for topk in ((1,), (1, 5), (5,)):
        runner_of(tmp_path, evaluator=dict(type='Accuracy', topk=topk)).test()
    stem = f'test-{sha256(tmp_path / "0.pth")[:8]}'
    found = {name: content['settings']['evaluator']['topk'] for name, content in records(tmp_path).items()}
    assert found == {f'{stem}.json': [1], f'{stem}-2.json': [1, 5], 'test.json': [5]}


def test_other_files_and_records_of_unknown_checkpoints_are_kept(tmp_path):
    (tmp_path / 'work').mkdir()
    (tmp_path / 'work' / 'test.json').write_text('half a rec')
    for _ in range(2):
        runner_of(tmp_path, weights=False).test()
    assert (tmp_path / 'work' / 'test-unknown.json').read_text() == 'half a rec'
    for name in ('test-unknown-2.json', 'test.json'):
        assert json.loads((tmp_path / 'work' / name).read_text())['sha256'] is None


def test_a_failed_test_keeps_the_old_record(tmp_path, monkeypatch):
    runner_of(tmp_path).test()
    before = (tmp_path / 'work' / 'test.json').read_bytes()
    monkeypatch.setattr(Accuracy, 'compute_metrics', lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        runner_of(tmp_path, 1).test()
    assert (tmp_path / 'work' / 'test.json').read_bytes() == before
    assert list(records(tmp_path)) == ['test.json']


@pytest.mark.parametrize('wrap', [list, Evaluator])
def test_settings_have_class_names_and_metrics_only_numbers(wrap, tmp_path):
    metrics = runner_of(tmp_path, evaluator=wrap([Accuracy(), ConfusionMatrix(num_classes=10)])).test()
    found = records(tmp_path)['test.json']
    assert metrics.keys() == {'accuracy/top1', 'confusion_matrix/result'}
    assert found['metrics'] == {'accuracy/top1': metrics['accuracy/top1']}
    assert found['settings']['evaluator'] == (['Accuracy', 'ConfusionMatrix'] if wrap is list else 'Evaluator')


def test_only_the_main_process_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(record, 'is_main_process', lambda: False)
    assert set(runner_of(tmp_path).test()) == {'accuracy/top1'}
    assert records(tmp_path) == {}
