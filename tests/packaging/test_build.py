"""Wheel, sdist and editable install in new environments without network, used by mim from an empty directory.

mmcv has no compiled ops there: torchvision computes them.
"""

import email
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from mixpro_mm import __version__

ROOT = Path(__file__).parents[2]
DIGITS = 'deit-micro_mixpro_digits'
MIXED = 'deit-small_mixpro_8xb128_in1k'
# one batch per epoch; the schedule requires more than five epochs
FEW = ['train_cfg.max_epochs=6', 'train_cfg.val_interval=6', 'default_hooks.checkpoint.interval=6']
FEW += ['train_dataloader.batch_size=16']
FEW += [f'{split}_dataloader.dataset.indices=16' for split in ('train', 'val', 'test')]


def run(*command, cwd, ok=True):
    settings = {name: value for name, value in os.environ.items() if name not in ('PYTHONPATH', 'PYTHONSTARTUP')}
    settings.update(OMP_NUM_THREADS='1', PIP_NO_INDEX='1', PIP_DISABLE_PIP_VERSION_CHECK='1', PAGER='cat')
    together = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace')
    result = subprocess.run(list(map(str, command)), cwd=cwd, env=settings, **together)
    assert (result.returncode == 0) == ok, f'{command} gave {result.returncode}:\n{result.stdout[-4000:]}'
    return result.stdout


def listing(folder):
    files = (path for path in folder.rglob('*') if path.suffix != '.pyc' and path.is_file())
    return {path.relative_to(folder).as_posix() for path in files}


@pytest.fixture(scope='module')
def tracked():
    if not (ROOT / '.git').exists():
        pytest.skip('needs a git checkout')
    names = run('git', 'ls-files', '-co', '--exclude-standard', '-z', cwd=ROOT).split('\0')
    return {name for name in names if name and (ROOT / name).is_file()}


@pytest.fixture(scope='module')
def source(tracked, tmp_path_factory):
    folder = tmp_path_factory.mktemp('source')
    for name in tracked:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope='module')
def built(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp('dist')
    run(sys.executable, '-m', 'build', '--no-isolation', '--outdir', folder, source, cwd=folder)
    (wheel,), (sdist,) = folder.glob('*.whl'), folder.glob('*.tar.gz')
    return wheel, sdist


class Place:
    """A new environment with links to all installed packages except mixpro_mm, and an empty working directory."""

    def __init__(self, folder):
        self.cwd, links = folder / 'empty', folder / 'dependencies'
        self.cwd.mkdir()
        links.mkdir()
        (links / 'mmcv').mkdir()
        packages = Path(sysconfig.get_path('purelib'))
        for path in (*packages.iterdir(), *(packages / 'mmcv').iterdir()):
            name = path.relative_to(packages)
            if not re.search(r'^mixpro_m|\.pth$|^mmcv$|^mmcv/_ext', str(name)):
                (links / name).symlink_to(path)
        venv.create(folder / 'venv', symlinks=True)
        self.python = folder / 'venv' / 'bin' / 'python'
        (self.site,) = (folder / 'venv' / 'lib').glob('python*/site-packages')
        (self.site / 'dependencies.pth').write_text(f'{links}\n')
        self.run('-c', 'import importlib.util as u; assert u.find_spec("torch") and not u.find_spec("mixpro_mm")')

    def run(self, *arguments, ok=True):
        return run(self.python, *arguments, cwd=self.cwd, ok=ok)

    def mim(self, *arguments, ok=True):
        return self.run('-m', 'mim', *arguments, ok=ok)

    def install(self, *what):
        self.run('-m', 'pip', 'install', '-q', '--no-deps', '--no-build-isolation', *what)
        return Path(self.run('-c', 'import mixpro_mm; print(mixpro_mm.__file__)').strip()).parents[1]


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_a_wheel_has_the_package_and_both_mim_folders(built, tracked, source):
    """Building leaves no copies behind: mim refuses config names that exist twice."""
    assert {name.split('/')[0] for name in listing(source) - tracked} <= {'mixpro_mm.egg-info'}
    wheel = zipfile.ZipFile(built[0])
    held = {name for name in wheel.namelist() if '.dist-info/' not in name}
    configs = {name for name in tracked if re.fullmatch(r'configs/.+\.(py|yml)|tools/.+\.py|model-index\.yml', name)}
    assert {'tools/train.py', 'tools/study.py', f'configs/pretrain/{MIXED}.py', 'configs/metafile.yml'} < configs
    package = {name for name in tracked if name.startswith('mixpro_mm/')}
    mim = {f'{top}/.mim/{name}' for name in configs for top in ('mixpro_mm', 'mixpro_mim')}
    assert held == package | mim | {'mixpro_mm_mmcv_ops.pth'}
    for name in configs:
        assert {wheel.read(f'{top}/.mim/{name}') for top in ('mixpro_mm', 'mixpro_mim')} == {(ROOT / name).read_bytes()}


def test_an_sdist_has_sources_and_tests(built, tracked):
    with tarfile.open(built[1]) as sdist:
        held = {name.removeprefix(f'mixpro_mm-{__version__}/') for name in sdist.getnames()}
    folders = ('mixpro_mm/', 'configs/', 'tools/', 'requirements/', 'tests/', 'docs/', '.ci/')
    alone = {name for name in tracked if '/' not in name and not name.startswith('.git')}  # read by tests/docs
    assert {name for name in tracked if name.startswith(folders)} | alone <= held
    assert not [name for name in held if name.endswith('.pyc') or name.startswith(('work_dirs', 'data', '.venv'))]


def test_metadata(built):
    wheel = zipfile.ZipFile(built[0])
    info = f'mixpro_mm-{__version__}.dist-info'
    metadata = email.message_from_bytes(wheel.read(f'{info}/METADATA'))
    assert (metadata['Name'], metadata['Version']) == ('mixpro-mm', __version__)
    assert 'Apache-2.0' in (metadata['License-Expression'] or metadata['License'])
    assert wheel.read(f'{info}/licenses/LICENSE') == (ROOT / 'LICENSE').read_bytes()
    assert (
        metadata.get_payload(decode=True).decode().strip() == (ROOT / 'README.md').read_text(encoding='utf-8').strip()
    )
    assert wheel.read(f'{info}/top_level.txt').split() == [b'mixpro_mm']
    given = [line.partition(';') for line in metadata.get_all('Requires-Dist')]
    for file, mark in (('runtime', ''), ('mminstall', ' extra == "mminstall"')):
        lines = (ROOT / 'requirements' / f'{file}.txt').read_text(encoding='utf-8').splitlines()
        wanted = {line for line in lines if line and not line.startswith('#')}
        assert {name for name, _, extra in given if extra == mark} == wanted


def test_a_wheel_is_found_by_mim(place, built):
    assert place.install(built[0]) == place.site
    code = f"from mim import get_model_info as i; print(list(i('mixpro_mm', configs=['{MIXED}'], to_dict=True)))"
    assert place.run('-c', code).splitlines()[-1] == str([MIXED])


@pytest.mark.long
def test_from_a_wheel_mim_searches_trains_and_tests(place, built):
    assert place.install(built[0]) == place.site
    before = listing(place.site)
    chosen = ['--config', MIXED, '--model', 'mixpro', '--dataset', 'ImageNet-1k']
    shown = re.sub(' +', ' ', place.mim('search', 'mixpro_mm', *chosen))
    assert 'top_1_accuracy 81.3' in shown and 'weight none published/' in shown

    said = place.mim('train', 'mixpro_mm', f'{DIGITS}.py', '--cfg-options', *FEW)
    assert f'will use {place.site / "mixpro_mim" / ".mim" / "configs" / "digits" / DIGITS}.py' in said
    assert 'Training finished successfully.' in said and 'factor: ' in said  # labels by PAL
    checkpoint = f'work_dirs/{DIGITS}/epoch_6.pth'
    few = 'test_dataloader.dataset.indices=16'
    said = place.mim('test', 'mixpro-mm', f'{DIGITS}.py', '--checkpoint', checkpoint, '--cfg-options', few)
    assert f'Load checkpoint from {checkpoint}' in said and 'accuracy/top1: ' in said
    assert {path.name for path in place.cwd.iterdir()} == {'work_dirs'} and listing(place.site) == before


@pytest.mark.long
def test_from_a_wheel_mim_trains_a_detector_without_compiled_ops(place, built):
    config = place.install(built[0]) / 'mixpro_mim/.mim/configs/digits/mask-rcnn_pvt-micro_scratch_digit-scenes.py'
    place.run('-m', 'mixpro_mm.datasets.digit_scenes', 'data/digit_scenes', '--num-train', '8', '--num-val', '2')
    said = place.mim('train', 'onedl-mmdetection', config, '--cfg-options', 'train_cfg.max_epochs=1')
    assert 'Training finished successfully.' in said
    assert 'Epoch(train) [1][1/1]' in re.sub(' +', ' ', said) and 'coco/segm_mAP: ' in said
    code = 'from mmcv.utils import collect_env; print(collect_env()["MMCV Compiler"])'
    assert place.run('-c', code).splitlines()[-1].startswith('none, ops of torchvision')


@pytest.mark.long
def test_from_an_sdist_mim_downloads_configs_and_runs_tools(place, built):
    assert place.install(built[1]) == place.site
    said = place.mim('download', 'mixpro_mm', '--config', DIGITS, MIXED, '--dest', 'got')
    assert said.count(f' exists in {place.cwd / "got"}') == 2  # message for a config without weights
    assert {path.name for path in (place.cwd / 'got').iterdir()} == {f'{DIGITS}.py', f'{MIXED}.py'}
    train = ['train', 'onedl-mmpretrain', f'got/{DIGITS}.py', '--work-dir', 'out', '--cfg-options']
    assert 'Training finished successfully.' in place.mim(*train, *FEW)
    study = place.site / 'mixpro_mm' / '.mim' / 'configs' / 'digits' / 'study_demo.py'
    said = place.mim('run', 'mixpro_mm', 'study', study, '--dry-run')
    assert f'-m mixpro_mm.study.stage {study.with_name(DIGITS)}.py --work-dir {place.cwd}' in said
    assert {path.name for path in place.cwd.iterdir()} == {'got', 'out'}


@pytest.mark.long
def test_from_an_editable_install_mim_works_on_the_checkout(place, source):
    """A run leaves a copy of its config. mim then refuses the name; the tools of this package do not."""
    before = listing(source)
    assert place.install('-e', source) == source and listing(source) == before
    assert 'mmcv_ops/extension.py' in place.run('-c', 'from mmcv import _ext; print(_ext.__file__)')
    wrong = '--no-such-option'  # refused by the toolkit's script
    refused = f'train.py: error: unrecognized arguments: {wrong}\n'
    launched = ['--launcher', 'pytorch', '--gpus', '1']
    said = place.mim('train', 'mixpro_mm', f'{DIGITS}.py', *launched, wrong, ok=False)
    assert f'will use {source / "configs" / "digits" / DIGITS}.py' in said
    assert 'torch.distributed.launch' in said and refused in said

    copy = source / 'work_dirs' / DIGITS / f'{DIGITS}.py'
    copy.parent.mkdir(parents=True)
    copy.write_text('')
    assert refused in place.run(source / 'tools' / 'train.py', f'{DIGITS}.py', wrong, ok=False)
