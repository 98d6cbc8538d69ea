"""Checks of ops, training steps and tests on a CUDA device; a CPU runs all of them too."""

import argparse
import gc
import itertools
import subprocess
import sys
import tempfile
import textwrap
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope

from mixpro_mm.benchmark.gpu_ops import OPS, TOLERANCES, compare_op
from mixpro_mm.benchmark.gpu_speed import (
    compare_methods,
    mixpro_session,
    precision,
    time_steps,
    train_classifier,
    train_from_files,
)
from mixpro_mm.benchmark.report import environment
from mixpro_mm.report.tables import markdown_table
from mixpro_mm.utils.configs import find_config, read_config
from mixpro_mm.utils.files import write_json, write_text

__all__ = ['main']

PACKAGE = Path(__file__).parents[1]
# (dtype of autocast, whether the step is compiled)
PRECISIONS = {'fp32': (None, False), 'bf16': ('bfloat16', False), 'bf16 compiled': ('bfloat16', True)}
SYNC = 'called a synchronizing CUDA operation'  # warning of torch.cuda.set_sync_debug_mode


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    found = argparse.ArgumentParser(description=main.__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = found.add_argument
    add('--device', default='cuda', choices=['cuda', 'cpu'], help='cpu: try the checks themselves')
    several = 'deit-small,pvt-small,xcit-small-12-p16'
    add(
        '--backbones',
        type=lambda text: text.split(','),
        default=several,
        help='classifiers: names as in configs/pretrain, or config files',
    )
    add('--batches', type=_numbers, default='128,256', help='images in a step of the classifiers')
    add('--size', type=int, default=224, help='side of these images in pixels')
    add('--methods', default='all', choices=['all', 'pair'], help='of the section step: all, or CutMix and MixPro')
    add('--detector', default='mask-rcnn_pvt-small_mixpro_1x_coco.py', help='config of mmdet, without its checkpoint')
    add('--detector-size', type=int, default=800, help='side of the two images of the detector in pixels')
    add('--rounds', type=int, default=20, help='timed steps, after some others')
    tests = PACKAGE.parent / 'tests'  # of a checkout
    add('--tests', default=tests if tests.is_dir() else '', help='folder of tests; those marked cuda run; "" for none')
    add('--out', type=Path, default='work_dirs/gpu_check', help='folder for gpu_check.json and gpu_check.md')
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Check ops, training steps and tests on a GPU. Every failure is reported, and makes the exit status 1."""
    options = parser()
    args = options.parse_args(arguments)
    if args.device == 'cuda' and not torch.cuda.is_available():
        options.error(f'torch {torch.__version__} finds no CUDA device; python -m mixpro_mm.doctor says why')
    args.out.mkdir(parents=True, exist_ok=True)
    settings = {name: value for name, value in vars(args).items() if name not in ('out', 'tests')}
    content = dict(environment(torch.device(args.device)), settings=settings, records=[])
    for section, check, work in checks(args):
        print(f'gpu_check: {section} {check}', file=sys.stderr)
        content['records'] += [dict(section=section, check=check) | figures for figures in attempt(work)]
    text = render(content)
    write_json(args.out / 'gpu_check.json', content)
    write_text(args.out / 'gpu_check.md', text)
    print(f'{text}\nresults: {args.out}/gpu_check.json, {args.out}/gpu_check.md')
    return int(not all(record['ok'] for record in content['records']))


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(',')]


def checks(args: argparse.Namespace) -> Iterator[tuple[str, str, Callable[[], dict | list[dict]]]]:
    """Yield section, name and function of each check.

    The function returns figures, with ``ok=False`` if it failed, or several of them.
    """
    yield 'environment', 'mmcv', partial(mmcv_ops, args.device)
    for name in OPS:
        for dtype in TOLERANCES:
            yield 'ops', f'{name} {dtype}'.replace('torch.', ''), partial(compare_op, name, args.device, dtype)
    for dtype in (None, 'float16'):
        yield 'detection', 'AMP' if dtype else 'fp32', partial(train_detector, args, dtype)
    for backbone, batch in itertools.product(args.backbones, args.batches):
        for name, options in PRECISIONS.items():
            check = f'{Path(backbone).stem} {batch} {name}'
            yield 'classification', check, partial(train_classifier, args, backbone, batch, *options)
    backbone, batch = args.backbones[0], args.batches[0]
    yield 'step', 'methods', partial(compare_methods, args, backbone, batch)
    for pipeline in ('mmpretrain', 'mixpro_mm'):
        options = *PRECISIONS['bf16 compiled'], pipeline
        yield 'files', pipeline, partial(train_from_files, args, backbone, batch, *options)
    yield 'synchronisation', 'MixPro', partial(count_syncs, args, backbone, batch)
    if args.tests:
        yield 'tests', 'pytest -m cuda', partial(run_tests, args.tests, args.device)


def attempt(work: Callable[[], dict | list[dict]]) -> list[dict]:
    """Return the figures of a check with ``ok``, or its error in one line."""
    try:
        gc.collect()
        torch.cuda.empty_cache()  # the tests are another process
        found = work()
        return [dict(ok=True) | figures for figures in (found if isinstance(found, list) else [found])]
    except Exception as error:  # of any kind, because the other checks still run
        return [dict(ok=False, error=textwrap.shorten(f'{type(error).__name__}: {error}', 300, placeholder='...'))]


def render(content: dict) -> str:
    """Return the run as Markdown, with a table for each section."""
    settings, versions = (', '.join(f'{k} {v}' for k, v in content[key].items()) for key in ('settings', 'versions'))
    parts = [
        f'# GPU check\n\n{content["date"]}, {content["device"]}.',
        f'Settings: {settings}.\n\nVersions: {versions}.',
    ]
    tables = {}
    for record in content['records']:
        row = {key: f'{value:.5g}' if isinstance(value, float) else str(value) for key, value in record.items()}
        tables.setdefault(row.pop('section'), []).append(row)
    parts += [
        f'## {title.capitalize()}\n\n{markdown_table(pd.DataFrame(rows).fillna("-"))}' for title, rows in tables.items()
    ]
    return '\n\n'.join(parts) + '\n'


def mmcv_ops(device: str) -> dict:
    """Return what the ops of mmcv were compiled with, and the memory and capability of a GPU."""
    import mmcv.ops

    found = dict(compiler=mmcv.ops.get_compiler_version(), cuda=mmcv.ops.get_compiling_cuda_version())
    if device == 'cuda':
        gpu = torch.cuda.get_device_properties(device)
        found |= dict(capability=f'{gpu.major}.{gpu.minor}', memory_gib=gpu.total_memory / 2**30)
    return found


def train_detector(args: argparse.Namespace, dtype: str | None) -> dict:
    """Train the detector, from random weights, on two images of noise with random boxes and masks."""
    from mmdet.registry import MODELS
    from mmdet.testing import demo_mm_inputs

    config, shape = read_config(find_config(args.detector)), (3, args.detector_size, args.detector_size)
    config.model.backbone.pop('init_cfg', None)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(config.model).to(args.device).train()
        optim = build_optim_wrapper(model, dict(config.optim_wrapper, **precision(args.device, dtype)))
        draw = partial(demo_mm_inputs, 2, shape, with_mask=True, device=args.device)
        return time_steps(draw, lambda data: model.train_step(data, optim)['loss'].detach(), 2, args)


def count_syncs(args: argparse.Namespace, backbone: str, batch: int) -> dict:
    """Count the operations of this package in a step between log lines for which the host waits for the GPU."""
    session, found = mixpro_session(args, backbone, batch), Counter()
    with session.attached():
        session.iterate(session.bench.draw(batch))
        with sync_places(args.device, found):
            session.iterate(session.bench.draw(batch))
    others = found.pop('others', 0)
    places = ', '.join(f'{place} ({count})' for place, count in found.items())
    return dict(here=found.total(), others=others, places=places or 'none', ok=not found)


@contextmanager
def sync_places(device: str, found: Counter) -> Iterator[None]:
    """Count warnings about synchronisation by the innermost line of this package, the benchmark excepted."""

    def note(message, *details, **kwargs):
        if SYNC in str(message):
            frames = [frame for frame in traceback.extract_stack() if frame.filename.startswith(f'{PACKAGE}/')]
            places = [f'{frame.filename}:{frame.lineno}'.removeprefix(f'{PACKAGE}/') for frame in frames]
            own = [place for place in places if not place.startswith('benchmark/')]
            found[own[-1] if own else 'others'] += 1

    with warnings.catch_warnings():
        warnings.simplefilter('always')
        warnings.showwarning = note
        try:
            if device == 'cuda':
                torch.cuda.set_sync_debug_mode('warn')
            yield
        finally:
            if device == 'cuda':
                torch.cuda.set_sync_debug_mode('default')


def run_tests(folder: str, device: str) -> dict:
    """Run the tests that need a GPU, and return their numbers; without a GPU they are skipped."""
    paths = Path(folder).resolve().rglob('test_*.py')
    files = [path for path in paths if 'pytest.mark.cuda' in path.read_text('utf-8')]
    if not files:
        raise FileNotFoundError(f'no test in {folder} is marked cuda')
    with tempfile.TemporaryDirectory() as place:
        report = Path(place, 'report.xml')
        command = [sys.executable, '-m', 'pytest', '-q', '-m', 'cuda', f'--junitxml={report}', *sorted(files)]
        done = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True)
        if done.returncode > 1:  # none ran, or not to the end
            raise RuntimeError(f'pytest ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-200:]}')
        suite = ElementTree.parse(report).find('testsuite')
    print(done.stdout, file=sys.stderr)
    numbers = {key: int(suite.get(key)) for key in ('tests', 'failures', 'errors', 'skipped')}
    passed = numbers['tests'] - numbers['failures'] - numbers['errors'] - numbers['skipped']
    return dict(passed=passed, **numbers, ok=done.returncode == 0 and (passed > 0 or device == 'cpu'))
