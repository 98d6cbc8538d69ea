import argparse
import gzip
import hashlib
import os
import pickle
import sys
import types
import zipfile

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from safetensors.torch import save_file

from mixpro_mm.utils.checkpoint import CodeInCheckpointError, read_checkpoint

TENSORS = {'backbone.weight': torch.arange(6.0).reshape(2, 3), 'head.fc.weight': torch.ones(2)}
NET = torch.nn.Linear(1, 1)


def save(content, path):
    torch.save(content, path)
    return path


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in b)


@pytest.mark.parametrize(
    'wrap',
    [
        lambda x: x,
        lambda x: dict(state_dict=x, meta={}),
        lambda x: dict(model=dict(state_dict=x, epoch=1), optimizer={}),
        lambda x: dict(state_dict=dict(model=x)),
        lambda x: {f'module.{key}': value for key, value in x.items()},
        lambda x: dict(model={f'module.module.{key}': value for key, value in x.items()}),
        lambda x: dict(student={'module.a': torch.ones(1)}, teacher=x, epoch=1),  # DINO
        lambda x: dict(student={'module.a': torch.ones(1)}, teacher=dict(state_dict=x)),
        lambda x: dict(model_state_dict=x, optimizer=dict(state={0: dict(step=torch.ones(1))})),
        lambda x: dict(net=dict(weights=x)),
    ],
)
def test_reads_what_wrappers_leave(tmp_path, wrap):
    path = save(wrap(TENSORS), tmp_path / 'a.pth')
    state_dict, sha256 = read_checkpoint(path)[:2]
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest() and same(state_dict, TENSORS)
    mixed = {'module.weight': torch.ones(1), 'head.weight': torch.ones(1)}  # removed only if all names have it
    assert read_checkpoint(save(mixed, tmp_path / 'a.pth'))[0].keys() == mixed.keys()


def test_reads_what_mmengine_and_the_authors_pickle_beside_the_tensors(tmp_path):
    beside = dict(
        message_hub=dict(log_scalars={'train/loss': HistoryBuffer([0.5], [1])}, runtime_info=dict(iter=np.int64(3))),
        args=argparse.Namespace(lr=0.1, output_dir=tmp_path),
        array=np.arange(3),
    )
    before = dict(HistoryBuffer._statistics_methods), set(torch.serialization.get_safe_globals())
    assert same(read_checkpoint(save(dict(state_dict=TENSORS, **beside), tmp_path / 'a.pth'))[0], TENSORS)
    assert (HistoryBuffer._statistics_methods, set(torch.serialization.get_safe_globals())) == before


def test_missing_and_remote_files():
    for path, error, words in (('a.pth', FileNotFoundError, 'not an exist'), ('https://x/a', ValueError, 'a remote')):
        with pytest.raises(error, match=rf'^Checkpoint {path} is {words}'):
            read_checkpoint(path)


def zipped(path, *names):
    with zipfile.ZipFile(path, 'w') as file:
        for name in names:
            file.writestr(name, b'')


FOREIGN = {
    'is empty': lambda path: path.write_bytes(b''),
    'is a git-lfs pointer': lambda path: path.write_text('version https://git-lfs.github.com/spec/v1\noid sha256:4d\n'),
    'is a web page': lambda path: path.write_text('\n<!DOCTYPE html>\n<html><body>Sign in</body></html>'),
    "is a text file that starts with 'connection ": lambda path: path.write_text('connection refused\nx\n'),
    'is a TorchScript archive': lambda path: torch.jit.save(torch.jit.trace(NET, torch.ones(1)), path),
    'is a zip archive of net.pth, b, c, no checkpoint': lambda path: zipped(path, 'net.pth', *'bcd'),
    'is compressed': lambda path: path.write_bytes(gzip.compress(b'weights')),
    'is truncated or not written by torch.save': lambda path: path.write_bytes(pickle.dumps([1.0], protocol=2)),
}


@pytest.mark.parametrize('what', FOREIGN)
def test_files_of_other_formats_are_named_for_what_they_are(tmp_path, what):
    path = tmp_path / 'a.pth'
    FOREIGN[what](path)
    with pytest.raises(ValueError, match=rf'^Checkpoint .*a\.pth cannot be read: it {what}') as stop:
        read_checkpoint(path)
    assert '\n' not in str(stop.value) and str(stop.value).endswith('.')


def test_safetensors_are_read_and_their_end_is_missed(tmp_path):
    path = tmp_path / 'model.safetensors'
    tensors = {**TENSORS, 'half': torch.tensor([1.5], dtype=torch.bfloat16)}
    save_file(tensors, path, metadata=dict(format='pt'))
    file = read_checkpoint(path)
    assert same(file.tensors, tensors) and file.beside == []
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match='cannot be read: SafetensorError: '):
        read_checkpoint(path)


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('content', [NET, dict(model=NET, epoch=1)], ids=['module', 'entry'])
def test_a_pickled_module_is_read_on_trust(tmp_path, content, zipped):
    path = tmp_path / 'a.pth'
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    words = r'is refused: unpickling it runs \S*Linear, .* save only the state_dict\(\)'
    with pytest.raises(CodeInCheckpointError, match=words):
        read_checkpoint(path)
    assert read_checkpoint(path, trust=True)[0].keys() == {'weight', 'bias'}


class Bomb:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


@pytest.mark.parametrize(('function', 'raw'), [(os.mkdir, False), (exec, False), (eval, True)])
def test_code_of_a_file_runs_on_trust_only(tmp_path, function, raw):
    target, path = tmp_path / 'ran', tmp_path / 'a.pth'
    argument = str(target) if function is os.mkdir else f'__import__("os").mkdir({str(target)!r})'
    content = dict(state_dict=TENSORS, meta=Bomb(function, argument))
    path.write_bytes(pickle.dumps(content, protocol=2)) if raw else torch.save(content, path)
    with pytest.raises(CodeInCheckpointError, match=r'is refused: unpickling it runs'):
        read_checkpoint(path)
    assert not target.exists()
    if not raw:
        assert same(read_checkpoint(path, trust=True)[0], TENSORS) and target.exists()
        with pytest.raises(ValueError, match='cannot be read: FileExistsError'):
            read_checkpoint(path, trust=True)
        path.write_bytes(path.read_bytes()[:-500])
        with pytest.raises(ValueError, match='cannot be read: it is truncated'):
            read_checkpoint(path, trust=True)


def test_other_entries_are_named(tmp_path):
    among = {'steps': 3, 'extra': {'weight': torch.ones(1)}, 'list': [torch.ones(1)], 7: torch.ones(1)}
    for wrap in (lambda x: x, lambda x: dict(model=x), lambda x: dict(model=dict(state_dict=x))):
        file = read_checkpoint(save(wrap({**TENSORS, **among}), tmp_path / 'a.pth'))
        assert file.tensors.keys() == TENSORS.keys() and file.beside == ['steps', 'extra', 'list', '7']
    file = read_checkpoint(save(dict(lost=torch.ones(1), model=TENSORS, more=TENSORS), tmp_path / 'top.pth'))
    assert file.tensors.keys() == TENSORS.keys() and file.beside == ['lost', 'more']


AVERAGE = {key: value + 1 for key, value in TENSORS.items()}


@pytest.mark.parametrize(
    'name, wrap',
    [
        ('state_dict_ema', lambda raw, ema: dict(state_dict=raw, state_dict_ema=ema, epoch=1)),
        ('model_ema', lambda raw, ema: dict(model=raw, model_ema={f'module.{key}': ema[key] for key in ema})),
        ('model_ema', lambda raw, ema: dict(model=dict(state_dict=raw), model_ema=dict(state_dict=ema))),
        ('ema', lambda raw, ema: dict(model=dict(state_dict=raw, ema=ema))),
        ('EMA', lambda raw, ema: dict(EMA=ema, model=raw, model_ema=None, schema=raw, ema_state_dict=raw)),
    ],
)
def test_takes_what_is_asked_for(tmp_path, name, wrap):
    path = save(wrap(TENSORS, AVERAGE), tmp_path / 'a.pth')
    plain, taken = read_checkpoint(path), read_checkpoint(path, take=name)
    assert plain.averaged == [name] and taken.averaged == [] and name in plain.beside and name not in taken.beside
    assert same(plain.tensors, TENSORS) and same(taken.tensors, AVERAGE)


def test_takes_the_names_with_a_prefix(tmp_path):
    both = {f'{name}.{key}': value for name, part in (('a.b', TENSORS), ('c', AVERAGE)) for key, value in part.items()}
    path = save(dict(state_dict=both, epoch=1), tmp_path / 'a.pth')
    for name, wanted, left in (('a.b', TENSORS, 'c'), ('c', AVERAGE, 'a')):
        file = read_checkpoint(path, take=name)
        assert file.under == f'state_dict.{name}' and file.beside == [left, 'epoch'] and same(file.tensors, wanted)
    assert read_checkpoint(path).under == 'state_dict' and read_checkpoint(path).tensors.keys() == both.keys()


@pytest.mark.parametrize(
    ('content', 'take', 'words'),
    [
        (dict(w=torch.ones(1), model=dict(epoch=3)), None, r'under .* or at its top; other entries: w, epoch\.$'),
        (dict(state_dict={'a.b.w': torch.ones(1)}), 'a.c', r'under `a\.c`'),
        (dict(online=TENSORS, target=AVERAGE, epoch=1), None, r'choose one of online, target, which have tensors\.$'),
        (dict(model=TENSORS, model_ema=None, schema=TENSORS), 'model_ema', 'under `model_ema`; other entries: model_e'),
        (dict(model=TENSORS, model_ema={}), 'model_ema', r'under `model_ema`; other entries: model\.$'),
    ],
)
def test_without_tensors_there_the_entries_are_named(tmp_path, content, take, words):
    path = save(content, tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=f'has no tensors .*{words}'):
        read_checkpoint(path, take=take)


def test_the_yacs_config_of_the_released_code_is_ignored(tmp_path, monkeypatch):
    module = types.ModuleType('yacs.config')
    module.CfgNode = type('CfgNode', (dict,), dict(__module__='yacs.config'))
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, 'yacs', types.ModuleType('yacs'))
        patch.setitem(sys.modules, 'yacs.config', module)
        path = save(dict(model=TENSORS, config=module.CfgNode(MODEL=module.CfgNode(NAME='swin'))), tmp_path / 'a.pth')
    assert same(read_checkpoint(path)[0], TENSORS)
