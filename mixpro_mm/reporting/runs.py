"""Records from work directories of ``mim train`` and ``mim test``: of each run the last test or validation."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from mixpro_mm.files import read_json
from mixpro_mm.measures import REPORTED
from mixpro_mm.reporting.curves import read_scalars

__all__ = ['run_records']

METRICS = {
    **REPORTED,
    **{f'calibration/{name}': ('robustness', name, 1.0) for name in ('top1', 'rms_calibration_error', 'aurra', 'ece')},
    **{f'ood/{name}': ('robustness', name, 1.0) for name in ('aupr', 'auroc', 'fpr95')},
}
SUITE = re.compile(r'_occlusion_|_(imagenet|digits)-[ao]$')  # their top-1 on whole images is not the run's own test
SUITES = {'imagenet-a': 'A_', 'digits-a': 'A_', 'imagenet-o': 'O_', 'digits-o': 'O_'}  # by the end of a config's name


def run_records(work_dir: Path) -> list[dict]:
    """The records of a work directory; ``[]`` where nothing was tested.

    A run is a training and the tests of its checkpoints, wherever they were written; ``key`` names it, so that of
    several work directories with the same run the newest can be taken. ``seed`` is that of the config; without one it
    is the path of the run, because two trainings without a seed differ.

    Returns:
        list[dict]: as in ``results.json``, with ``source`` (the file), ``key``, ``stamp`` (the later, the newer) and
        ``from`` ('test' or 'validation at step N'). ``pretraining`` and ``backbone`` are left out: names of configs
        tell them.
    """
    newest = {}
    for stamp, log_dir, metrics, origin, source in sorted(_measured(work_dir), key=lambda found: found[:2]):
        settings = _settings(log_dir / 'vis_data' / 'config.py')
        config = _config_of(work_dir, log_dir)
        start = settings['load_from'] if origin == 'test' else None
        run = _run_of(start, work_dir)
        for reported, value in metrics.items():
            if reported not in METRICS or not isinstance(value, int | float):
                continue
            task, metric, factor = METRICS[reported]
            if task != 'robustness' and SUITE.search(config.stem):
                continue
            if task == 'robustness':
                metric = SUITES.get(config.stem.rpartition('_')[2], '') + metric
            metric += ' (MS)' if settings['tta'] else ''
            seed = run if settings['seed'] is None else settings['seed']
            key = (config.stem, run, metric)
            newest[key] = dict(
                task=task, metric=metric, value=round(value * factor, 4), seed=seed, config=str(config), source=source,
                checkpoint=start, key=key, stamp=stamp, **{'from': origin},
            )  # fmt: skip
    return list(newest.values())


def _measured(work_dir: Path) -> Iterator[tuple]:
    """(time stamp, log folder, metrics, where from, file) of every test, and of the last validation."""
    log_dirs = sorted(config.parents[1] for config in work_dir.glob('*/vis_data/config.py'))
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


def _run_of(checkpoint: str | None, work_dir: Path) -> str:
    """The folder of the training that a checkpoint is from; a path that is gone is taken for what mim makes of it."""
    folder = Path(checkpoint).parent if checkpoint else work_dir
    return str((work_dir if folder.name == work_dir.name and not folder.is_dir() else folder).resolve())


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
    """``seed``, ``load_from`` and ``tta`` (whether its model is one of test-time augmentation); nothing is executed."""
    found = dict(seed=None, load_from=None, tta=False)
    for node in ast.parse(config.read_text(encoding='utf-8')).body:
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
            continue
        name, value = node.targets[0].id, node.value
        keywords = {keyword.arg: keyword.value for keyword in value.keywords} if isinstance(value, ast.Call) else {}
        if name == 'load_from' and isinstance(value, ast.Constant):
            found['load_from'] = value.value
        elif name == 'randomness' and isinstance(keywords.get('seed'), ast.Constant):
            found['seed'] = keywords['seed'].value
        elif name == 'model':
            found['tta'] = 'module' in keywords
    return found
