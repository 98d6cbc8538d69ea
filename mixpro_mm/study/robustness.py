"""The command that tests checkpoints on several test sets and writes one page."""

import argparse
import copy
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.dist import init_dist, is_distributed, is_main_process

from mixpro_mm.evaluation.record import numbers_of
from mixpro_mm.report.robustness import robustness_card
from mixpro_mm.study.configs import files_needed, fingerprint
from mixpro_mm.study.evaluate import test_checkpoint
from mixpro_mm.utils.arguments import one_of
from mixpro_mm.utils.checkpoint import read_for_host
from mixpro_mm.utils.configs import find_configs, read_config
from mixpro_mm.utils.files import read_json, write_json, write_text
from mixpro_mm.utils.models import load_config, load_model

__all__ = ['main', 'suite_config']

INNER = ('dataset', 'known', 'unknown')  # data sets inside a data set
RESULTS, PAGE, RECORD = 'robustness.json', 'robustness.md', 'record.json'
NAME = re.compile(r'[\w.+ -]+')  # also a name of a folder


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
        config.setdefault('suites', read_config(find_configs() / '_base_' / 'robustness_suites.py').suites)
        config.merge_from_dict(args.cfg_options or {})
        config.launcher = args.launcher
        known = config.pop('suites')
        chosen = {name: known[one_of('suite', name, known)] for name in args.suites or ([] if args.ood else known)}
        chosen |= _unknown_classes(known, args.ood)
        suites = {name: suite_config(config, name, suite) for name, suite in chosen.items()}
        models = _named('--checkpoint', args.checkpoint)
        sha256 = {label: _check(config, path) for label, path in models.items()}
        if args.launcher != 'none' and not is_distributed():
            init_dist(args.launcher, **(config.get('env_cfg') or {}).get('dist_cfg', {}))
        work_dir = args.work_dir or Path('work_dirs', Path(args.config).stem, 'robustness')
        failed = _run(config, models, sha256, suites, work_dir)
    except (ValueError, OSError) as error:
        print(f'robustness: {" ".join(str(error).split())}', file=sys.stderr)
        return 1
    return int(failed)


def _named(option: str, values: Sequence[str]) -> dict[str, str]:
    """Return the paths of ``[NAME=]PATH`` by name; the name is that of the file without suffix by default."""
    found = {}
    for value in values:
        name, separator, path = value.partition('=')
        name, path = (name, path) if separator and not Path(value).exists() else (Path(value).stem, value)
        if not NAME.fullmatch(name) or not path:
            raise ValueError(f'{option} {value} is not NAME=PATH with a name of letters and digits')
        if name in found:
            raise ValueError(f'{option} has two paths with the name {name}: give each its own, as in NAME=PATH')
        found[name] = path
    return found


def _unknown_classes(known: dict, values: Sequence[str]) -> dict[str, dict]:
    """Return the suites of ``--ood``."""
    if values and 'imagenet' not in known:
        raise ValueError('--ood needs a suite "imagenet" with the images of known classes')
    found = {}
    for name, folder in _named('--ood', values).items():
        data = known['imagenet']['test_dataloader']['dataset']
        unknown = dict(type='mmpretrain.CustomDataset', data_root=folder, with_label=False)
        unknown |= dict(pipeline=data['pipeline']) if 'pipeline' in data else {}
        loader = dict(dataset=dict(type='mixpro_mm.OODDataset', known=data, unknown=unknown))
        found[f'ood-{name}'] = dict(test_dataloader=loader, test_evaluator=dict(type='mixpro_mm.OODMetric'))
    return found


def _check(config: Config, path: str) -> str:
    """Return the SHA-256 of a checkpoint, or raise an error if the Runner would not load all tensors."""
    if not Path(path).is_file():
        raise FileNotFoundError(f'there is no checkpoint {path}')
    load_model(config, path)
    file = read_for_host(path)
    if not file.found_by_host:
        raise ValueError(f'mmengine does not find the tensors of {path}, under {file.under}: save them as state_dict')
    return file.sha256


def suite_config(config: Config, name: str, suite: dict) -> Config:
    """Return a config that tests the model of ``config`` on a suite.

    Args:
        config: Config of a classifier.
        name: Name of the suite in messages.
        suite: ``test_dataloader``, whose settings replace those of ``config``, ``test_evaluator``, and ``test_cfg`` if
            the loop is not RecordedTestLoop. A data set without pipeline gets the test pipeline of ``config``.

    Raises:
        ValueError: The config or the suite lacks a setting.
    """
    config, suite = copy.deepcopy(config), copy.deepcopy(dict(suite))
    if not ((config.get('test_dataloader') or {}).get('dataset') or {}).get('pipeline'):
        raise ValueError(f'{config.filename} has no test_dataloader whose data set has a pipeline')
    if not (suite.get('test_dataloader') or {}).get('dataset') or not suite.get('test_evaluator'):
        raise ValueError(f'suite {name} needs test_dataloader with a data set, and test_evaluator')
    loader = {**config.test_dataloader, **suite['test_dataloader']}
    loader['dataset'] = _with_pipeline(loader['dataset'], config.test_dataloader.dataset.pipeline)
    config.test_dataloader, config.test_evaluator = loader, suite['test_evaluator']
    config.test_cfg = dict(suite.get('test_cfg') or dict(type='mixpro_mm.RecordedTestLoop'), out=RECORD)
    return config


def _with_pipeline(dataset: dict, pipeline: list) -> dict:
    inner = {key: _with_pipeline(dataset[key], pipeline) for key in INNER if isinstance(dataset.get(key), dict)}
    return {**dataset, **(inner or dict(pipeline=dataset.get('pipeline', copy.deepcopy(pipeline))))}


def _run(
    config: Config, models: dict[str, str], sha256: dict[str, str], suites: dict[str, Config], work_dir: Path
) -> bool:
    """Test all models on all suites, and write the page after each test; return whether a test failed."""
    settings = fingerprint(config, None)
    results = [
        each
        for each in read_json(work_dir / RESULTS) or []
        if (each['sha256'], each['settings']) == (sha256.get(each['label']), settings)
    ]
    not_tested, failed = {}, False
    for name, own in suites.items():
        if missing := [str(path) for path in files_needed(own, parts=('test',)) if not path.exists()]:
            not_tested[name] = f'skipped, because {", ".join(missing)} does not exist'
            _say(f'{name}: {not_tested[name]}')
            continue
        for label, path in models.items():
            own.work_dir, own.experiment_name = str(work_dir / label), f'{label}-{name}'
            results = [each for each in results if (each['suite'], each['label']) != (name, label)]
            try:
                metrics = test_checkpoint(own, path, name)
            except Exception as error:  # the toolkits raise many types
                if is_distributed():
                    raise  # other processes may wait for this one
                kind = '' if isinstance(error, ValueError | OSError) else f'{type(error).__name__}: '
                not_tested[f'{name} of {label}'] = f'failed: {kind}{" ".join(str(error).split())}'
                _say(f'{name} of {label}: {not_tested[f"{name} of {label}"]}')
                failed = True
                continue
            record = read_json(work_dir / label / name / RECORD) or {}  # of the main process
            result = dict(suite=name, label=label, checkpoint=path, sha256=sha256[label], settings=settings)
            results.append(result | dict(images=record.get('images'), metrics=numbers_of(metrics)))
            _write(config, results, not_tested, work_dir)
    if not results:
        raise ValueError(f'nothing was tested: {"; ".join(f"{name}: {why}" for name, why in not_tested.items())}')
    _write(config, results, not_tested, work_dir)
    _say(f'page: {work_dir / PAGE}')
    return failed


def _write(config: Config, results: list[dict], not_tested: dict[str, str], work_dir: Path) -> None:
    if is_main_process():
        work_dir.mkdir(parents=True, exist_ok=True)
        write_json(work_dir / RESULTS, results)
        title = f'Robustness of {Path(config.filename).stem}'
        write_text(work_dir / PAGE, robustness_card(title, results, not_tested))


def _say(text: str) -> None:
    if is_main_process():
        print(text, flush=True)
