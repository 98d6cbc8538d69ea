import argparse
import hashlib
import os
import pickle
import sys
import types

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from mixpro_mm.checkpoint import CodeInCheckpointError, read_checkpoint, read_state_dict

TENSORS = {'backbone.weight': torch.arange(6.0).reshape(2, 3), 'head.fc.weight': torch.ones(2)}


def save(content, path):
    torch.save(content, path)
    return path


@pytest.mark.parametrize('wrap', [lambda x: x, lambda x: dict(state_dict=x, meta={}), lambda x: dict(model=x, epoch=1)])
def test_reads_all_three_layouts(tmp_path, wrap):
    path = save(wrap(TENSORS), tmp_path / 'a.pth')
    state_dict, sha256 = read_state_dict(path)
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert state_dict.keys() == TENSORS.keys()
    assert all(torch.equal(state_dict[key], TENSORS[key]) for key in TENSORS)


def test_reads_what_mmengine_and_the_authors_pickle_beside_the_tensors(tmp_path):
    beside = dict(
        message_hub=dict(log_scalars={'train/loss': HistoryBuffer([0.5], [1])}, runtime_info=dict(iter=np.int64(3))),
        args=argparse.Namespace(lr=0.1, output_dir=tmp_path),
        array=np.arange(3),
    )
    before = dict(HistoryBuffer._statistics_methods), set(torch.serialization.get_safe_globals())
    state_dict, _ = read_state_dict(save(dict(state_dict=TENSORS, **beside), tmp_path / 'a.pth'))
    assert state_dict.keys() == TENSORS.keys()
    assert (HistoryBuffer._statistics_methods, set(torch.serialization.get_safe_globals())) == before


def test_missing_and_remote_files_have_their_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'^Checkpoint .*none\.pth is not an existing file\.$'):
        read_state_dict(tmp_path / 'none.pth')
    with pytest.raises(ValueError, match=r'^Checkpoint https://x\.org/a\.pth is a remote address: download it'):
        read_state_dict('https://x.org/a.pth')


@pytest.mark.parametrize('damage', [lambda data: data[: len(data) // 2], lambda data: b'', lambda data: b'not torch'])
def test_truncated_and_foreign_files_are_named(tmp_path, damage):
    path = save(TENSORS, tmp_path / 'a.pth')
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(
        ValueError, match=r'^Checkpoint .*a\.pth cannot be read: it is truncated or was not written by torch\.save\.$'
    ):
        read_state_dict(path)


@pytest.mark.parametrize('content', [dict(epoch=3), [torch.ones(1)], dict(state_dict={})])
def test_files_without_tensors_are_named(tmp_path, content):
    with pytest.raises(ValueError, match='holds no tensors under `state_dict`, under `model` or at its top'):
        read_state_dict(save(content, tmp_path / 'a.pth'))


class Bomb:
    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


@pytest.mark.parametrize('function', [os.mkdir, exec, eval])
@pytest.mark.parametrize('raw', [False, True])
def test_no_code_of_a_file_is_run(tmp_path, function, raw):
    target = tmp_path / 'ran'
    argument = str(target) if function is os.mkdir else f'__import__("os").mkdir({str(target)!r})'
    content = dict(state_dict=TENSORS, meta=Bomb(function, argument))
    path = tmp_path / 'a.pth'
    if raw:
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path)
    with pytest.raises(ValueError, match=r'is refused: to unpickle it is to run'):
        read_state_dict(path)
    assert not target.exists()
    pickle.loads(path.read_bytes()) if raw else torch.load(path, weights_only=False)  # the bomb is live
    assert target.exists()


@pytest.mark.parametrize(
    'wrap',
    [
        lambda x: dict(model=dict(state_dict=x, epoch=1), optimizer={}),
        lambda x: dict(state_dict=dict(model=x)),
        lambda x: {f'module.{key}': value for key, value in x.items()},
        lambda x: dict(model={f'module.module.{key}': value for key, value in x.items()}),
    ],
)
def test_reads_what_wrappers_leave(tmp_path, wrap):
    state_dict, _ = read_state_dict(save(wrap(TENSORS), tmp_path / 'a.pth'))
    assert state_dict.keys() == TENSORS.keys()
    assert all(torch.equal(state_dict[key], TENSORS[key]) for key in TENSORS)


def test_module_is_taken_away_only_where_all_names_have_it(tmp_path):
    mixed = {'module.weight': torch.ones(1), 'head.weight': torch.ones(1)}
    assert read_state_dict(save(mixed, tmp_path / 'a.pth'))[0].keys() == mixed.keys()


def test_names_what_lies_beside_the_tensors(tmp_path):
    path = save(dict(model=dict(state_dict=TENSORS, epoch=1), optimizer={}, args=argparse.Namespace()), tmp_path / 'a')
    assert read_checkpoint(path).beside == ['optimizer', 'args', 'epoch']
    assert read_checkpoint(save(TENSORS, tmp_path / 'b.pth')).beside == []


def test_names_what_lies_among_the_tensors_and_is_none(tmp_path):
    among = {'steps': 3, 'extra': {'weight': torch.ones(1)}, 'list': [torch.ones(1)], 7: torch.ones(1)}
    for number, wrap in enumerate((lambda x: x, lambda x: dict(model=x), lambda x: dict(model=dict(state_dict=x)))):
        file = read_checkpoint(save(wrap({**TENSORS, **among}), tmp_path / f'{number}.pth'))
        assert file.tensors.keys() == TENSORS.keys() and file.beside == ['steps', 'extra', 'list', '7']
    file = read_checkpoint(save(dict(lost=torch.ones(1), model=TENSORS, more=TENSORS), tmp_path / 'top.pth'))
    assert file.tensors.keys() == TENSORS.keys() and file.beside == ['lost', 'more']
    with pytest.raises(ValueError, match=r'holds no tensors under .* or at its top; beside lie weight, epoch\.$'):
        read_checkpoint(save(dict(weight=torch.ones(1), model=dict(epoch=3)), tmp_path / 'none.pth'))
    with pytest.raises(ValueError, match=r'; beside lie a, b, c, d, e and 2 more\.$'):
        read_checkpoint(save(dict.fromkeys('abcdefg', 1), tmp_path / 'none.pth'))


AVERAGE = {key: value + 1 for key, value in TENSORS.items()}


@pytest.mark.parametrize(
    'name, wrap',
    [
        ('state_dict_ema', lambda raw, ema: dict(state_dict=raw, state_dict_ema=ema, epoch=1)),
        ('model_ema', lambda raw, ema: dict(model=raw, model_ema={f'module.{key}': ema[key] for key in ema})),
        ('model_ema', lambda raw, ema: dict(model=dict(state_dict=raw), model_ema=dict(state_dict=ema))),
        ('ema', lambda raw, ema: dict(model=dict(state_dict=raw, ema=ema))),
        ('EMA', lambda raw, ema: dict(EMA=ema, model=raw)),
    ],
)
def test_takes_what_is_asked_for(tmp_path, name, wrap):
    path = save(wrap(TENSORS, AVERAGE), tmp_path / 'a.pth')
    plain, taken = read_checkpoint(path), read_checkpoint(path, take=name)
    assert plain.averaged == [name] and taken.averaged == [] and name in plain.beside and name not in taken.beside
    for file, wanted in ((plain, TENSORS), (taken, AVERAGE)):
        assert file.tensors.keys() == wanted.keys()
        assert all(torch.equal(file.tensors[key], wanted[key]) for key in wanted)


def test_only_a_mapping_can_be_an_average(tmp_path):
    others = dict(model_ema=None, schema=TENSORS, ema_state_dict=TENSORS)  # the last is what mmengine averaged from
    path = save(dict(model=TENSORS, **others), tmp_path / 'a.pth')
    assert read_checkpoint(path).averaged == []
    with pytest.raises(ValueError, match=r'has nothing to take under `model_ema`; beside lie model_ema, schema, ema_'):
        read_checkpoint(path, take='model_ema')
    with pytest.raises(ValueError, match=r'holds no tensors under `model_ema`; beside lie model\.$'):
        read_checkpoint(save(dict(model=TENSORS, model_ema={}), tmp_path / 'b.pth'), take='model_ema')


def test_config_of_released_code_is_no_obstacle(tmp_path, monkeypatch):
    """Swin's code, and MixPro's after it, saves its yacs config in the file; yacs need not be there to read it."""
    module, name = types.ModuleType('yacs.config'), 'yacs.config'
    node = type('CfgNode', (dict,), dict(__module__=name))
    module.CfgNode = node
    config = node(MODEL=node(NAME='swin'))
    config.__dict__['__immutable__'] = True
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, 'yacs', types.ModuleType('yacs'))
        patch.setitem(sys.modules, name, module)
        path = save(dict(model=TENSORS, config=config), tmp_path / 'a.pth')
    state_dict, _ = read_state_dict(path)
    assert state_dict.keys() == TENSORS.keys()


def test_trust_reads_what_is_refused_and_nothing_else_changes(tmp_path):
    target = tmp_path / 'ran'
    path = save(dict(model=TENSORS, meta=Bomb(os.mkdir, str(target))), tmp_path / 'a.pth')
    with pytest.raises(CodeInCheckpointError, match='is refused'):
        read_state_dict(path)
    state_dict, sha256 = read_state_dict(path, trust=True)
    assert target.exists() and state_dict.keys() == TENSORS.keys()
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ValueError, match=r'cannot be read: it is truncated'):
        read_state_dict(path, trust=True)


def test_trust_names_code_that_is_not_installed(tmp_path, monkeypatch):
    module = types.ModuleType('not_there')
    module.Thing = type('Thing', (), dict(__module__='not_there'))
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, 'not_there', module)
        path = save(dict(model=TENSORS, thing=module.Thing()), tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=r"needs code that is not installed \(No module named 'not_there'\)\.$"):
        read_state_dict(path, trust=True)
