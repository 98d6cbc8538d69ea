"""Damaged checkpoints, other formats and checkpoints with code, on each path by which a run reads them."""

import pickle

import pytest
import torch
from mmengine.runner import Runner
from safetensors.torch import save_file

from mixpro_mm.study.checkpoints import last_checkpoint
from mixpro_mm.utils.checkpoint import CodeInCheckpointError

HTML = b'<!DOCTYPE html><html><body>404 Not Found</body></html>'


def flipped(data):
    """Flip one bit in the middle of the file."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


DAMAGES = {
    'last byte': (lambda data: data[:-1], r'cannot be read: it is truncated or was not written by'),
    'web page': (lambda data: HTML, r'cannot be read: it is a web page: download the file itself'),
    'bit': (flipped, r'is damaged: the checksum of its entry \S+/data/\d+ differs'),
}


@pytest.fixture
def good(undisturbed):
    return undisturbed / 'epoch_2.pth'


def start(how, tiny, work_dir, path):
    """Run a Runner that reads ``path``."""
    work_dir.mkdir(exist_ok=True)
    if how == 'test':
        return Runner.from_cfg(tiny(work_dir, load_from=str(path))).test()
    changes = dict(load_from=str(path)) if how in ('load_from', 'resume from') else {}
    changes |= dict(resume=True) if how.startswith('resume') else {}
    if how == 'init_cfg':
        changes['model.backbone.init_cfg'] = dict(type='Pretrained', checkpoint=str(path), prefix='backbone.')
    if how == 'resume':
        (work_dir / 'last_checkpoint').write_text(str(path))
    return Runner.from_cfg(tiny(work_dir, **changes)).train()


PATHS = ('load_from', 'resume', 'resume from', 'init_cfg', 'test')


@pytest.mark.parametrize('how', PATHS)
def test_code_in_a_checkpoint_is_not_run(tmp_path, tiny, good, bomb, how):
    write, exploded = bomb
    path = write(tmp_path / 'bomb.pth', good)
    with pytest.raises(CodeInCheckpointError, match=rf'^Checkpoint {path} is refused: unpickling it runs \S*mkdir'):
        start(how, tiny, tmp_path / 'work', path)
    assert not exploded()


@pytest.mark.parametrize('damage', DAMAGES)
def test_a_damaged_checkpoint_has_its_sentence(tmp_path, tiny, good, damage):
    path, (alter, sentence) = tmp_path / 'a.pth', DAMAGES[damage]
    path.write_bytes(alter(good.read_bytes()))
    with pytest.raises(ValueError, match=rf'^Checkpoint {path} {sentence}'):
        start('resume', tiny, tmp_path / 'work', path)
    assert list((tmp_path / 'work').glob('*.pth')) == []


@pytest.mark.parametrize('how', ['load_from', 'resume'])
def test_tensors_where_mmengine_does_not_look_are_no_start(tmp_path, tiny, good, how):
    path, content = tmp_path / 'a.pth', torch.load(good, weights_only=False)
    torch.save(dict(model=content['state_dict']), path)
    with pytest.raises(ValueError, match=rf'^CheckpointCheckHook: {path} has its tensors under `model`, where'):
        start(how, tiny, tmp_path / 'work', path)
    save_file(content['state_dict'], path)
    with pytest.raises(ValueError, match=rf'^Checkpoint {path} is a safetensors file, which mmengine does not read'):
        start(how, tiny, tmp_path / 'work', path)


@pytest.mark.parametrize('how', ['resume', 'init_cfg'])
def test_a_checkpoint_that_is_not_there_is_named(tmp_path, tiny, how):
    with pytest.raises(FileNotFoundError, match=rf'^Checkpoint {tmp_path}/none\.pth is not an existing file\.$'):
        start(how, tiny, tmp_path / 'work', tmp_path / 'none.pth')


def test_what_mmengine_wrote_is_read(tmp_path, tiny, good):
    """The file includes history buffers, metadata and optimizer."""
    content = torch.load(good, weights_only=False)
    assert {type(buffer).__name__ for buffer in content['message_hub']['log_scalars'].values()} == {'HistoryBuffer'}
    start('resume', tiny, tmp_path / 'work', good)


def test_a_study_passes_over_what_it_cannot_read(tmp_path, good, bomb):
    write, exploded = bomb
    whole = good.read_bytes()
    (tmp_path / 'epoch_2.pth').write_bytes(whole)
    for number, (alter, _) in enumerate(DAMAGES.values(), 3):
        (tmp_path / f'epoch_{number}.pth').write_bytes(alter(whole))
    write(tmp_path / 'epoch_9.pth', good)
    (tmp_path / 'epoch_10.pth').write_bytes(pickle.dumps(dict(state_dict={}), protocol=2))
    (tmp_path / '.17-epoch_11.pth').write_bytes(whole)  # a temporary file
    assert last_checkpoint(tmp_path) == str(tmp_path / 'epoch_2.pth')
    assert not exploded()
