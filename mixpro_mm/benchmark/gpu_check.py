"""Checks of ops, training steps and tests on a CUDA device; a CPU runs all of them too."""

import argparse
import gc
import math
import subprocess
import sys
import tempfile
import textwrap
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pandas as pd
import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper, build_optim_wrapper
from mmengine.registry import OPTIM_WRAPPERS, DefaultScope
from torch import Tensor

from mixpro_mm.benchmark.gpu_ops import OPS, TOLERANCES, compare_op
from mixpro_mm.benchmark.measure import spread
from mixpro_mm.benchmark.report import environment
from mixpro_mm.benchmark.workbench import Session, Workbench
from mixpro_mm.report.tables import markdown_table
from mixpro_mm.utils.configs import find_config, read_config
from mixpro_mm.utils.files import write_json, write_text

__all__ = ['main']

PACKAGE = Path(__file__).parents[1]
SYNC = 'called a synchronizing CUDA operation'  # warning of torch.cuda.set_sync_debug_mode


class Autocast(OptimWrapper):
    """``AmpOptimWrapper``, which mmengine has for GPUs only, on a CPU: bfloat16, which needs no scaling of the loss."""

    @contextmanager
    def optim_context(self, model):
        with super().optim_context(model), torch.autocast('cpu', torch.bfloat16):
            yield


def main(arguments: Sequence[str] | None = None) -> int:
    """Check ops, training steps and tests on a GPU. Every failure is reported, and makes the exit status 1."""
    parser = argparse.ArgumentParser(description=main.__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add('--device', default='cuda', choices=['cuda', 'cpu'], help='cpu: try the checks themselves')
    add('--backbone', default='deit-small', help='classifier: name as in configs/pretrain, or a config file')
    add('--batch', type=int, default=128, help='images in a step of the classifier')
    add('--size', type=int, default=224, help='side of these images in pixels')
    add('--detector', default='mask-rcnn_pvt-small_mixpro_1x_coco.py', help='config of mmdet, without its checkpoint')
    add('--detector-size', type=int, default=800, help='side of the two images of the detector in pixels')
    add('--rounds', type=int, default=20, help='timed steps, after two others')
    tests = PACKAGE.parent / 'tests'  # of a checkout
    add('--tests', default=tests if tests.is_dir() else '', help='folder of tests; those marked cuda run; "" for none')
    add('--out', type=Path, default='work_dirs/gpu_check', help='folder for gpu_check.json and gpu_check.md')
    args = parser.parse_args(arguments)
    if args.device == 'cuda' and not torch.cuda.is_available():
        parser.error(f'torch {torch.__version__} finds no CUDA device; python -m mixpro_mm.doctor says why')
    args.out.mkdir(parents=True, exist_ok=True)
    settings = {name: value for name, value in vars(args).items() if name not in ('out', 'tests')}
    content = dict(environment(torch.device(args.device)), settings=settings, records=[])
    for section, check, work in checks(args):
        print(f'gpu_check: {section} {check}', file=sys.stderr)
        content['records'].append(dict(section=section, check=check) | attempt(work))
    text = render(content)
    write_json(args.out / 'gpu_check.json', content)
    write_text(args.out / 'gpu_check.md', text)
    print(f'{text}\nresults: {args.out}/gpu_check.json, {args.out}/gpu_check.md')
    return int(not all(record['ok'] for record in content['records']))


def checks(args: argparse.Namespace) -> Iterator[tuple[str, str, Callable[[], dict]]]:
    """Yield section, name and function of each check. The function returns figures, with ``ok=False`` if it failed."""
    yield 'environment', 'mmcv', partial(mmcv_ops, args.device)
    for name in OPS:
        for dtype in TOLERANCES:
            yield 'ops', f'{name} {dtype}'.replace('torch.', ''), partial(compare_op, name, args.device, dtype)
    for dtype in (None, 'float16'):
        yield 'detection', 'AMP' if dtype else 'fp32', partial(train_detector, args, dtype)
    for check, dtype in (('fp32', None), ('bf16', 'bfloat16'), ('bf16 compiled', 'bfloat16')):
        yield 'classification', check, partial(train_classifier, args, dtype, 'compiled' in check)
    yield 'synchronisation', 'MixPro', partial(count_syncs, args)
    if args.tests:
        yield 'tests', 'pytest -m cuda', partial(run_tests, args.tests, args.device)


def attempt(work: Callable[[], dict]) -> dict:
    """Return the figures of a check with ``ok``, or its error in one line."""
    try:
        gc.collect()
        torch.cuda.empty_cache()  # the tests are another process
        return dict(ok=True) | work()
    except Exception as error:  # of any kind, because the other checks still run
        return dict(ok=False, error=textwrap.shorten(f'{type(error).__name__}: {error}', 300, placeholder='...'))


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


def precision(device: str, dtype: str | None) -> dict:
    """Return the config of an optimizer wrapper: fp32, AMP in ``dtype``, or on a CPU AMP in bfloat16."""
    if dtype is None:
        return dict(type=OptimWrapper)
    return dict(type=AmpOptimWrapper, dtype=dtype) if device == 'cuda' else dict(type=Autocast)


def time_steps(draw: Callable[[], dict], step: Callable[[dict], Tensor], images: int, args: argparse.Namespace) -> dict:
    """Return figures of a step, which returns the loss of ``images`` drawn images, after two other steps."""
    losses, seconds = [float(step(draw())) for _ in range(2)], []
    if args.device == 'cuda':
        torch.cuda.reset_peak_memory_stats()
    for _ in range(args.rounds):
        data = draw()
        if args.device == 'cuda':
            torch.cuda.synchronize()
        start = time.perf_counter()
        losses.append(float(step(data)))  # waits for the GPU
        seconds.append(time.perf_counter() - start)
    median = spread(seconds)['median_s']
    figures = dict(images=images, rounds=len(seconds), ms_per_step=1000 * median, images_per_s=images / median)
    figures |= dict(first_loss=losses[0], last_loss=losses[-1], ok=all(map(math.isfinite, losses)))
    if args.device == 'cuda':
        figures['peak_mib'] = torch.cuda.max_memory_allocated() / 2**20
    return figures


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


def mixpro_session(args: argparse.Namespace, dtype: str | None = None) -> Session:
    """Return MixPro in training on the classifier, with the hook that labels by attention."""
    settings = dict(threads=torch.get_num_threads(), seed=0, classes=1000, amp='none', clock='wall')
    bench = Workbench(SimpleNamespace(**vars(args), **settings))
    # without the clock of the benchmark, which waits for the GPU and interrupts graphs
    optimizer = torch.optim.AdamW(bench.model.parameters(), lr=1e-3, weight_decay=0.05)
    bench.optim = OPTIM_WRAPPERS.build(dict(precision(args.device, dtype), optimizer=optimizer))
    return Session(bench, 'MixPro')


def train_classifier(args: argparse.Namespace, dtype: str | None, compiled: bool) -> dict:
    """Train the classifier with MixPro, compiled as by ``compile=True`` of mmengine's Runner."""
    session = mixpro_session(args, dtype)
    bench = session.bench
    if compiled:
        bench.model.train_step = torch.compile(bench.model.train_step)
    with session.attached():
        return time_steps(partial(bench.draw, args.batch), session.iterate, args.batch, args)


def count_syncs(args: argparse.Namespace) -> dict:
    """Count the operations of this package in a step between log lines for which the host waits for the GPU."""
    session, found = mixpro_session(args), Counter()
    with session.attached():
        session.iterate(session.bench.draw(args.batch))
        with sync_places(args.device, found):
            session.iterate(session.bench.draw(args.batch))
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
