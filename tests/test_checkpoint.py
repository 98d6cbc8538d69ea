import argparse
import hashlib
import os
import pickle

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from mixpro_mm.checkpoint import read_state_dict

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
