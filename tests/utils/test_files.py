import hashlib
import os
from pathlib import Path

import pytest
import torch

from mixpro_mm.utils.files import read_json, replacing, sha256_of, write_json


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / 'results.json'
    write_json(path, [1])
    with pytest.raises(TypeError):
        write_json(path, [object()])
    with pytest.raises(OSError, match='disk'), replacing(path) as temporary:
        temporary.write_text('half')
        raise OSError('disk full')
    assert read_json(path) == [1]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize('name', ['checkpoint', 'a.pth', '.hidden', 'end.', 'two.parts.json'])
def test_any_name_can_be_written_by_torch(tmp_path, name):
    with replacing(tmp_path / name) as temporary:
        torch.save(dict(a=torch.ones(1)), temporary)
        assert temporary.suffix == (Path(name).suffix or '.tmp') and temporary.name.startswith('.')
    assert torch.load(tmp_path / name)['a'] == 1 and os.listdir(tmp_path) == [name]


def test_unreadable_json_is_none(tmp_path):
    (tmp_path / 'cut.json').write_text('{"done": 3, "tot')
    assert read_json(tmp_path / 'cut.json') is read_json(tmp_path / 'absent.json') is None


def test_sha256(tmp_path):
    (tmp_path / 'file').write_bytes(bytes(range(256)) * 8192)
    assert sha256_of(tmp_path / 'file') == hashlib.sha256(bytes(range(256)) * 8192).hexdigest()
