"""Records from work directories of ``mim train`` and ``mim test``: of each run the last test or validation."""

import ast
import re
from collections.abc import Iterator
from os.path import normpath
from pathlib import Path
from typing import NamedTuple

from mixpro_mm.files import read_json
from mixpro_mm.measures import REPORTED
from mixpro_mm.reporting.curves import read_scalars

__all__ = ['Training', 'run_records', 'training_of']

METRICS = {
    **REPORTED,
    **{f'calibration/{name}': ('robustness', name, 1.0) for name in ('top1', 'rms_calibration_error', 'aurra', 'ece')},
    **{f'ood/{name}': ('robustness', name, 1.0) for name in ('aupr', 'auroc', 'fpr95')},
}
SUITE = re.compile(r'_occlusion_|_(imagenet|digits)-[ao]$')  # their top-1 on whole images is not the run's own test
TRANSFER = 'transfer.json'  # of TransferCheckHook, which knows what a backbone began with, however it was told
LOGS = '*/vis_data/config.py'  # of every start of a run, below its work directory
SUITES = {'imagenet-a': 'A_', 'digits-a': 'A_', 'imagenet-o': 'O_', 'digits-o': 'O_'}  # by the end of a config's name


class Training(NamedTuple):
    """The training that a checkpoint is from: its folder, and what the copy of its config there tells.

    ``config`` is the name of that file without ``.py``, ``start`` the checkpoint that its backbone began with by
    ``transfer.json`` or else by the config; None where nothing tells.
    """

    folder: Path
    config: str | None = None
    seed: int | None = None
    start: str | None = None

    @property
    def name(self) -> str:
        """Of the folder, without the ``_s0``, ``_s1``, ... that a study gives the seeds of a stage."""
        return self.folder.name.removesuffix(f'_s{self.seed}')

    @property
    def run(self) -> int | str:
        """What tells it from others of the same row: its seed, or else its path."""
        return str(self.folder) if self.seed is None else self.seed


def training_of(checkpoint: str | Path, near: Path, was: str | None = None) -> Training:
    """The training that wrote a checkpoint.

    Args:
        checkpoint: Its path, as it was when it was tested.
        near: Folder of the test; where folders were copied or moved together, the training is looked for from there.
        was: Where the test took that folder to be.
    """
    folder = _folder_of(Path(checkpoint).parent, near.resolve(), was)
    copies = [copy for copy in sorted(folder.glob('*.py')) if not SUITE.search(copy.stem)]
    if len(copies) > 1:
        trained = [log for log in folder.glob(LOGS) if log.with_name('scalars.json').is_file()]  # a test leaves none
        texts = {log.read_text(encoding='utf-8') for log in trained}
        copies = [copy for copy in copies if copy.read_text(encoding='utf-8') in texts]
    if len(copies) != 1:
        return Training(folder, start=_checked_start(folder))
    settings = _settings(copies[0])
    return Training(folder, copies[0].stem, settings['seed'], _checked_start(folder) or settings['start'])


def _folder_of(folder: Path, near: Path, was: str | None) -> Path:
    """A folder of checkpoints where it is now: a test in it or below stays with it, whatever was copied where."""
    if was is not None and normpath(was) == normpath(folder):
        return near
    if near.parent.name == folder.name:
        return near.parent
    if not folder.is_dir():
        around = (near, near.parent, near.parent.parent)
        places = [place if place.name == folder.name else place / folder.name for place in around]
        folder = next(filter(Path.is_dir, places), folder)
    return folder.resolve()


def run_records(work_dir: Path) -> list[dict]:
    """The records of a work directory; ``[]`` where nothing was tested.

    A run is a training and the tests of its checkpoints, wherever they were written; ``key`` names it, so that of
    several work directories with the same run the newest can be taken. ``seed`` is that of the training; without one
    it is the path of the run, because two trainings without a seed differ.

    Returns:
        list[dict]: as in ``results.json``, with ``source`` (the file), ``key``, ``stamp`` (the later, the newer) and
        ``from`` ('test' or 'validation at step N'). ``pretraining`` and ``backbone`` are left out: the name of the
        config tells them, or those in ``trained``, of configs and folders, the most telling first.
    """
    newest = {}
    for stamp, log_dir, metrics, origin, source in sorted(_measured(work_dir), key=lambda found: found[:2]):
        settings = _settings(log_dir / 'vis_data' / 'config.py')
        config = _config_of(work_dir, log_dir)
        start = settings['load_from'] if origin == 'test' else None
        training = Training(work_dir.resolve(), config.stem)
        if start:
            training = training_of(start, work_dir, settings['work_dir'])
        if not start or training.config is None:  # there is no better witness than this log
            began = _checked_start(work_dir) or settings['start']
            training = training._replace(seed=settings['seed'], start=began)
        run = str(training.folder)
        for reported, value in metrics.items():
            if reported not in METRICS or not isinstance(value, int | float):
                continue
            task, metric, factor = METRICS[reported]
            if task != 'robustness' and SUITE.search(config.stem):
                continue
            if task == 'robustness':
                metric = SUITES.get(config.stem.rpartition('_')[2], '') + metric
            metric += ' (MS)' if settings['tta'] else ''
            key = (config.stem, run, metric)
            newest[key] = dict(
                task=task, metric=metric, value=round(value * factor, 4), seed=training.run, config=str(config),
                source=source, checkpoint=start, start=training.start, trained=_names(training, task), key=key,
                stamp=stamp, **{'from': origin},
            )  # fmt: skip
    return list(newest.values())


def _measured(work_dir: Path) -> Iterator[tuple]:
    """(time stamp, log folder, metrics, where from, file) of every test, and of the last validation."""
    log_dirs = sorted(config.parents[1] for config in work_dir.glob(LOGS))
    for log_dir in log_dirs:
        file = log_dir / f'{log_dir.name}.json'
        tested = read_json(file)
        if isinstance(tested, dict):
            yield f'{log_dir.name} test', log_dir, tested, 'test', str(file)
    validated = [line for line in read_scalars(work_dir) if 'iter' not in line and METRICS.keys() & line.keys()]
    logs = [log_dir for log_dir in log_dirs if (log_dir / 'vis_data' / 'scalars.json').is_file()]
    if validated and logs:
        last, log_dir = validated[-1], logs[-1]
        file = log_dir / 'vis_data' / 'scalars.json'
        yield log_dir.name, log_dir, last, f'validation at step {last["step"]}', str(file)


def _names(training: Training, task: str) -> list[str]:
    """What a row is called after: the training, or before it the one that its backbone began with."""
    if task in ('classification', 'robustness') or training.start is None:
        return [name for name in (training.config, training.name) if name]
    began = training_of(training.start, training.folder)
    folder = began.folder.name.removesuffix(f'_s{training.seed}')  # in a study both are of one seed
    return [name for name in (began.config, folder, training.name) if name]


def _checked_start(folder: Path) -> str | None:
    """The checkpoint that TransferCheckHook found in the model, or None."""
    found = read_json(folder / TRANSFER)
    return found.get('checkpoint') if isinstance(found, dict) else None


def _config_of(work_dir: Path, log_dir: Path) -> Path:
    """The config of a run, by the copy that mmengine leaves in the work directory.

    Raises:
        ValueError: several copies, and none is that of this run.
    """
    copies = sorted(work_dir.glob('*.py'))
    if len(copies) > 1:
        wanted = (log_dir / 'vis_data' / 'config.py').read_text(encoding='utf-8')
        copies = [copy for copy in copies if copy.read_text(encoding='utf-8') == wanted] or copies
    if len(copies) > 1:
        names = ', '.join(copy.name for copy in copies)
        raise ValueError(f'{log_dir} may be a run of any of {names}: give each its own --work-dir.')
    return copies[0] if copies else work_dir / f'{work_dir.name}.py'  # its name is what mim calls the folder after


def _settings(config: Path) -> dict:
    """Of a config as mmengine writes it, which is not executed.

    ``seed``, ``load_from`` and ``work_dir``; ``start``, the checkpoint that the backbone began with; and ``tta``,
    whether the model is one of test-time augmentation.
    """
    found = dict(seed=None, load_from=None, work_dir=None, start=None, tta=False)
    for node in ast.parse(config.read_text(encoding='utf-8')).body:
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
            continue
        name, value = node.targets[0].id, node.value
        if name in ('load_from', 'work_dir'):
            found[name] = _constant(value)
        elif name == 'randomness':
            found['seed'] = _constant(value, 'seed')
        elif name == 'model':
            found['tta'] = 'module' in _keywords(value)
            model = _keywords(value).get('module', value)
            found['start'] = _constant(model, 'backbone', 'init_cfg', 'checkpoint')
    return found


def _constant(node: ast.expr | None, *path: str):
    """The value at the end of a path through ``dict(...)`` in ``dict(...)``; None if there is none, or no constant."""
    for name in path:
        node = _keywords(node).get(name)
    return node.value if isinstance(node, ast.Constant) else None


def _keywords(node: ast.expr | None) -> dict[str | None, ast.expr]:
    return {keyword.arg: keyword.value for keyword in node.keywords} if isinstance(node, ast.Call) else {}
