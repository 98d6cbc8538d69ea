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

from mixpro_mm.utils.checkpoint import CodeInCheckpointError, read_checkpoint, read_state_dict

TENSORS = {'backbone.weight': torch.arange(6.0).reshape(2, 3), 'head.fc.weight': torch.ones(2)}


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
    state_dict, sha256 = read_state_dict(path)
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest() and same(state_dict, TENSORS)
    mixed = {'module.weight': torch.ones(1), 'head.weight': torch.ones(1)}  # removed only if all names have it
    assert read_state_dict(save(mixed, tmp_path / 'a.pth'))[0].keys() == mixed.keys()


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
    cut = save(TENSORS, tmp_path / 'a.pth')
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    for path, error, sentence in (
        (tmp_path / 'none.pth', FileNotFoundError, r'^Checkpoint .*none\.pth is not an existing file\.$'),
        (tmp_path, ValueError, r'is a folder: use the file in it\.$'),
        ('https://x.org/a.pth', ValueError, r'^Checkpoint https://x\.org/a\.pth is a remote address: download it'),
        (cut, ValueError, r'^Checkpoint .*a\.pth cannot be read: it is truncated or was not written by torch\.save\.$'),
    ):
        with pytest.raises(error, match=sentence):
            read_state_dict(path)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(TENSORS['backbone.weight'])

    def forward(self, x):
        return x * self.weight


def zipped(path, **content):
    with zipfile.ZipFile(path, 'w') as file:
        for name, data in content.items():
            file.writestr(name, data)


def saved(path, save, *args, **kwargs):
    with open(path, 'wb') as file:  # with a path, NumPy adds a suffix
        save(file, *args, **kwargs)


POINTER = b'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 88000000\n'
FOREIGN = {
    'is empty': lambda path: path.write_bytes(b''),
    'is a git-lfs pointer': lambda path: path.write_bytes(POINTER),
    'is a web page': lambda path: path.write_text('\n<!DOCTYPE html>\n<html><body>Sign in</body></html>'),
    "is a text file that starts with 'Entry not found'": lambda path: path.write_text('Entry not found'),
    r'is a text file that starts with \'\{"error": ': lambda path: path.write_text('{"error": "no such repository"}'),
    'is a TorchScript archive': lambda path: torch.jit.save(torch.jit.trace(Net(), torch.ones(2, 3)), path),
    r'is a NumPy archive \(\.npz\)': lambda path: saved(path, np.savez, kernel=np.ones(3)),
    'is a NumPy array': lambda path: saved(path, np.save, np.ones(3)),
    r'is a zip archive that torch\.save did not write, of net\.pth, b, c and 1 more': lambda path: zipped(
        path, **{'net.pth': b'', 'b': b'', 'c': b'', 'd': b''}
    ),
    'is an HDF5 file': lambda path: path.write_bytes(b'\x89HDF\r\n\x1a\n' + bytes(100)),
    'is a checkpoint of TensorFlow': lambda path: path.write_bytes(bytes(50) + bytes.fromhex('57fb808b247547db')),
    'is an ONNX model': lambda path: path.write_bytes(b'\x08\x08\x12\x07pytorch\x1a\x052.0.0:\x00'),
    'is compressed by gzip': lambda path: path.write_bytes(gzip.compress(b'weights')),
    r'is a pickle that torch\.save did not write': lambda path: path.write_bytes(pickle.dumps(dict(model=[1.0]))),
}


@pytest.mark.parametrize('what', FOREIGN)
def test_files_of_other_formats_are_named_for_what_they_are(tmp_path, what):
    path = tmp_path / 'a.pth'
    FOREIGN[what](path)
    with pytest.raises(ValueError, match=rf'^Checkpoint .*a\.pth cannot be read: it {what}') as stop:
        read_state_dict(path)
    assert '\n' not in str(stop.value) and str(stop.value).endswith('.')


def test_safetensors_are_read_and_their_end_is_missed(tmp_path):
    path = tmp_path / 'model.safetensors'
    tensors = {**TENSORS, 'half': torch.tensor([1.5], dtype=torch.bfloat16)}
    save_file(tensors, path, metadata=dict(format='pt'))
    file = read_checkpoint(path)
    assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest() and file.beside == []
    assert same(file.tensors, tensors)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match='cannot be read: it is a truncated or altered safetensors file'):
        read_checkpoint(path)


@pytest.mark.parametrize('zipped', [True, False])
def test_another_protocol_of_pickle_is_named_and_read_on_trust(tmp_path, zipped):
    path = tmp_path / 'a.pth'
    torch.save(TENSORS, path, pickle_protocol=4, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CodeInCheckpointError, match='with pickle protocol 4, but torch reads only protocol 2'):
        read_state_dict(path)
    assert read_state_dict(path, trust=True)[0].keys() == TENSORS.keys()


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('wrap', [lambda net: net, lambda net: dict(model=net, epoch=1)])
def test_a_pickled_module_says_so_and_is_read_on_trust(tmp_path, wrap, zipped):
    path = tmp_path / 'a.pth'
    torch.save(wrap(Net()), path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        CodeInCheckpointError, match=r'unpickling it runs \S*Net, because it contains a pickled'
    ) as stop:
        read_state_dict(path)
    assert 'save its state_dict()' in str(stop.value)
    assert read_state_dict(path, trust=True)[0].keys() == {'weight'}


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
    with pytest.raises(ValueError, match=r'is refused: unpickling it runs'):
        read_state_dict(path)
    assert not target.exists()
    pickle.loads(path.read_bytes()) if raw else torch.load(path, weights_only=False)  # the code runs without the check
    assert target.exists()


def test_names_what_lies_among_the_tensors_and_is_none(tmp_path):
    among = {'steps': 3, 'extra': {'weight': torch.ones(1)}, 'list': [torch.ones(1)], 7: torch.ones(1)}
    for number, wrap in enumerate((lambda x: x, lambda x: dict(model=x), lambda x: dict(model=dict(state_dict=x)))):
        file = read_checkpoint(save(wrap({**TENSORS, **among}), tmp_path / f'{number}.pth'))
        assert file.tensors.keys() == TENSORS.keys() and file.beside == ['steps', 'extra', 'list', '7']
    file = read_checkpoint(save(dict(lost=torch.ones(1), model=TENSORS, more=TENSORS), tmp_path / 'top.pth'))
    assert file.tensors.keys() == TENSORS.keys() and file.beside == ['lost', 'more']
    with pytest.raises(ValueError, match=r'has no tensors under .* or at its top; other entries: weight, epoch\.$'):
        read_checkpoint(save(dict(weight=torch.ones(1), model=dict(epoch=3)), tmp_path / 'none.pth'))
    with pytest.raises(ValueError, match=r'; other entries: a, b, c, d, e and 2 more\.$'):
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
        assert same(file.tensors, wanted)


def test_takes_the_names_that_begin_with_what_is_asked_for(tmp_path):
    both = {f'{name}.{key}': value for name, part in (('a.b', TENSORS), ('c', AVERAGE)) for key, value in part.items()}
    path = save(dict(state_dict=both, epoch=1), tmp_path / 'a.pth')
    for name, wanted, left in (('a.b', TENSORS, 'c'), ('c', AVERAGE, 'a')):
        file = read_checkpoint(path, take=name)
        assert file.under == f'state_dict.{name}' and file.beside == [left, 'epoch']
        assert same(file.tensors, wanted)
    assert read_checkpoint(path).under == 'state_dict' and read_checkpoint(path).tensors.keys() == both.keys()
    with pytest.raises(ValueError, match=r'has no tensors under `a\.c`'):
        read_checkpoint(path, take='a.c')


def test_of_several_that_hold_tensors_one_must_be_named(tmp_path):
    path = save(dict(online=TENSORS, target=AVERAGE, epoch=1), tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=r'choose one of online, target, which have tensors\.$'):
        read_checkpoint(path)
    assert torch.equal(read_checkpoint(path, take='target').tensors['head.fc.weight'], AVERAGE['head.fc.weight'])


def test_only_a_mapping_can_be_an_average(tmp_path):
    others = dict(model_ema=None, schema=TENSORS, ema_state_dict=TENSORS)
    path = save(dict(model=TENSORS, **others), tmp_path / 'a.pth')
    assert read_checkpoint(path).averaged == []
    with pytest.raises(ValueError, match=r'has no tensors under `model_ema`; other entries: model_ema, schema, ema_'):
        read_checkpoint(path, take='model_ema')
    with pytest.raises(ValueError, match=r'has no tensors under `model_ema`; other entries: model\.$'):
        read_checkpoint(save(dict(model=TENSORS, model_ema={}), tmp_path / 'b.pth'), take='model_ema')


def test_config_of_released_code_is_no_obstacle(tmp_path, monkeypatch):
    """The released code saves a yacs config; reading it does not need yacs."""
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
