"""The command that tests checkpoints on several test sets and writes one page."""

import argparse
import copy
import sys
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.dist import is_main_process

from mixpro_mm.evaluation.record import numbers_of
from mixpro_mm.report.robustness import robustness_card
from mixpro_mm.study.configs import files_needed
from mixpro_mm.study.evaluate import test_checkpoint
from mixpro_mm.utils.arguments import one_of
from mixpro_mm.utils.configs import find_configs, read_config
from mixpro_mm.utils.files import read_json, sha256_of, write_json, write_text
from mixpro_mm.utils.models import load_config, load_model

__all__ = ['main', 'suite_config']

INNER = ('dataset', 'known', 'unknown')  # data sets inside a data set
RESULTS, PAGE, RECORD = 'robustness.json', 'robustness.md', 'record.json'


def main(arguments: Sequence[str] | None = None) -> int:
    """Test a classifier on corrupted, occluded, unusual and unknown images; return 0, or 1 on failure."""
    parser = argparse.ArgumentParser(
        prog='robustness.py', description=f'{main.__doc__.split(";")[0]}. See docs/robustness.md.'
    )
    parser.add_argument('config', help='config of mmpretrain; its model and test pipeline are used')
    checkpoints = 'checkpoints; several with names are columns of one page'
    parser.add_argument('--checkpoint', required=True, nargs='+', metavar='[NAME=]FILE', help=checkpoints)
    parser.add_argument('--suites', nargs='+', metavar='SUITE', help='test sets (all whose data are there)')
    unknown = 'images of unknown classes below a folder, against the images of the suite "imagenet"'
    parser.add_argument('--ood', nargs='+', default=[], metavar='NAME=FOLDER', help=unknown)
    parser.add_argument('--work-dir', type=Path, help='folder of the page (work_dirs/<name of the config>/robustness)')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='settings to override')
    args = parser.parse_args(arguments)
    try:
        config = load_config(args.config)
        config.merge_from_dict(args.cfg_options or {})
        config.launcher = args.launcher
        suites = _suites(config, args.suites, args.ood)
        models = dict(_named(each) for each in args.checkpoint)
        if len(models) < len(args.checkpoint):
            raise ValueError('several checkpoints have one name; give each its own: --checkpoint NAME=FILE NAME=FILE')
        for path in models.values():
            load_model(config, path)  # raises if a tensor is missing, which Runner only logs
        work_dir = args.work_dir or Path('work_dirs', Path(args.config).stem, 'robustness')
        failed = _run(config, models, suites, work_dir)
    except (ValueError, OSError) as error:
        print(f'robustness: {" ".join(str(error).split())}', file=sys.stderr)
        return 1
    return int(failed)


def _suites(config: Config, names: Sequence[str] | None, ood: Sequence[str]) -> dict[str, dict]:
    """Return the chosen suites of the config, or of ImageNet-1k, and those of ``ood``."""
    known = config.get('suites') or read_config(find_configs() / '_base_' / 'robustness_suites.py').suites
    chosen = {name: known[one_of('suite', name, known)] for name in names or ([] if ood else known)}
    for each in ood:
        name, separator, folder = each.partition('=')
        if not separator or f'ood-{name}' in chosen or 'imagenet' not in known:
            raise ValueError(f'--ood needs NAME=FOLDER with different names, and a suite "imagenet", got {each}')
        data = known['imagenet']['test_dataloader']['dataset']
        unknown = dict(type='mmpretrain.CustomDataset', data_root=folder, with_label=False)
        loader = dict(dataset=dict(type='mixpro_mm.OODDataset', known=data, unknown=unknown))
        chosen[f'ood-{name}'] = dict(test_dataloader=loader, test_evaluator=dict(type='mixpro_mm.OODMetric'))
    return chosen


def _named(checkpoint: str) -> tuple[str, str]:
    """Return name and path of ``[NAME=]FILE``; the name is that of the file without suffix by default."""
    name, separator, path = checkpoint.partition('=')
    name, path = (name, path) if separator and not Path(checkpoint).is_file() else (Path(checkpoint).stem, checkpoint)
    if not Path(path).is_file():
        raise FileNotFoundError(f'there is no checkpoint {path}')
    return name, path


def suite_config(config: Config, suite: dict) -> Config:
    """Return a config that tests the model of ``config`` on a suite.

    Args:
        config: Config of a classifier.
        suite: ``test_dataloader``, whose settings replace those of ``config``, ``test_evaluator``, and ``test_cfg`` if
            the loop is not RecordedTestLoop. A data set without pipeline gets the test pipeline of ``config``.
    """
    config, suite = copy.deepcopy(config), copy.deepcopy(dict(suite))
    loader = {**config.test_dataloader, **suite['test_dataloader']}
    loader['dataset'] = _with_pipeline(loader['dataset'], config.test_dataloader.dataset.pipeline)
    config.test_dataloader, config.test_evaluator = loader, suite['test_evaluator']
    config.test_cfg = dict(suite.get('test_cfg') or dict(type='mixpro_mm.RecordedTestLoop'), out=RECORD)
    return config


def _with_pipeline(dataset: dict, pipeline: list) -> dict:
    inner = {key: _with_pipeline(dataset[key], pipeline) for key in INNER if isinstance(dataset.get(key), dict)}
    return {**dataset, **(inner or dict(pipeline=dataset.get('pipeline', copy.deepcopy(pipeline))))}


def _run(config: Config, models: dict[str, str], suites: dict[str, dict], work_dir: Path) -> bool:
    """Test all models on all suites, and write the page after each test; return whether a test failed."""
    sha256 = {label: sha256_of(path) for label, path in models.items()}
    results = [each for each in read_json(work_dir / RESULTS) or [] if each['sha256'] == sha256.get(each['label'])]
    skipped, failed = {}, {}
    for name, suite in suites.items():
        own = suite_config(config, suite)
        if missing := [str(path) for path in files_needed(own, parts=('test',)) if not path.exists()]:
            skipped[name] = f'skipped, because {", ".join(missing)} does not exist'
            _say(f'{name}: {skipped[name]}')
            continue
        for label, path in models.items():
            own.work_dir, own.experiment_name = str(work_dir / label), f'{label}-{name}'
            results = [each for each in results if (each['suite'], each['label']) != (name, label)]
            try:
                metrics = test_checkpoint(own, path, name)
            except Exception as error:  # the toolkits raise many types
                kind = '' if isinstance(error, ValueError | OSError) else f'{type(error).__name__}: '
                failed[f'{name} of {label}'] = f'failed: {kind}{" ".join(str(error).split())}'
                _say(f'{name} of {label}: {failed[f"{name} of {label}"]}')
                continue
            record = read_json(work_dir / label / name / RECORD) or {}  # of the main process
            result = dict(suite=name, label=label, checkpoint=path, sha256=sha256[label], images=record.get('images'))
            results.append(result | dict(metrics=numbers_of(metrics)))
            _write(config, results, skipped | failed, work_dir)
    if not results:
        raise ValueError(
            f'nothing was tested: {"; ".join(f"{name}: {why}" for name, why in (skipped | failed).items())}'
        )
    _write(config, results, skipped | failed, work_dir)
    _say(f'page: {work_dir / PAGE}')
    return bool(failed)


def _write(config: Config, results: list[dict], skipped: dict[str, str], work_dir: Path) -> None:
    if is_main_process():
        work_dir.mkdir(parents=True, exist_ok=True)
        write_json(work_dir / RESULTS, results)
        title = f'Robustness of {Path(config.filename).stem}'
        write_text(work_dir / PAGE, robustness_card(title, results, skipped))


def _say(text: str) -> None:
    if is_main_process():
        print(text, flush=True)
