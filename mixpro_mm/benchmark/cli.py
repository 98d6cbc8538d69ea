"""The benchmark as one call."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from mixpro_mm.benchmark.bars import find_bars
from mixpro_mm.benchmark.compiled import measure_compiled
from mixpro_mm.benchmark.growth import RANKS, measure_growth
from mixpro_mm.benchmark.loading import measure_loading
from mixpro_mm.benchmark.methods import USUAL, method_names
from mixpro_mm.benchmark.models import BACKBONES
from mixpro_mm.benchmark.optimizer import AMP
from mixpro_mm.benchmark.parts import measure_labelling, measure_mixing
from mixpro_mm.benchmark.progress import Progress
from mixpro_mm.benchmark.report import surroundings, write_report
from mixpro_mm.benchmark.scaling import measure_scaling
from mixpro_mm.benchmark.training import measure_memory, measure_steps
from mixpro_mm.benchmark.workbench import Settings, Workbench

__all__ = ['SECTIONS', 'main', 'run_benchmark']

# shares of the time; what changes how memory is handed out comes after what is timed without that
SECTIONS = dict(step=0.5, memory=0.1, growth=2.0, labelling=0.2, mixing=0.1, scaling=0.1, loading=0.05, compile=0.5)
ON_REQUEST = ('growth', 'loading', 'compile')
STEPS = 5  # timed when compiled


def run_benchmark(
    settings: Settings,
    methods: Sequence[str] = USUAL,
    sections: Sequence[str] = tuple(name for name in SECTIONS if name not in ON_REQUEST),
    rounds: int = 30,
    minutes: float = 7.0,
    backend: str = 'inductor',
    ranks: Sequence[int] = RANKS,
    progress: Progress | None = None,
) -> dict:
    """Measure, and return what ``benchmark.json`` holds.

    Args:
        settings: model, images, device and precision.
        methods: names as of ``METHODS``, or 'all'.
        sections: names as of ``SECTIONS``.
        rounds: of each section at most, beside one to warm up.
        minutes: after which sections are content with the rounds they have, at least three; shared among them.
        backend: of torch.compile.
        ranks: numbers of processes that ``growth`` compares.
        progress: where to tell how far it is; standard error if omitted.

    Raises:
        ValueError: if a name is unknown or a number makes no sense.
    """
    names = method_names(methods)
    if unknown := [name for name in sections if name not in SECTIONS]:
        raise ValueError(f'section {unknown[0]!r} is unknown; known: {", ".join(SECTIONS)}')
    if rounds < 1 or minutes <= 0 or settings.batch < 2 or settings.alone_batch < 2 or (settings.threads or 1) < 1:
        raise ValueError(
            f'rounds and threads must be at least 1, minutes above 0 and batches at least 2, got {rounds}, {minutes}, '
            f'{settings.batch} and {settings.alone_batch}'
        )
    if min([settings.classes, *ranks]) < 1:
        raise ValueError(f'classes and ranks must be at least 1, got {settings.classes} and {list(ranks)}')
    sections = [name for name in SECTIONS if name in sections]
    whole = sum(SECTIONS[name] for name in sections)
    budgets = {name: 60 * minutes * SECTIONS[name] / whole for name in sections}
    bench = Workbench(settings)
    around = surroundings(bench.device)
    progress = progress or Progress(budgets)
    measures = dict(
        step=lambda *limits: measure_steps(bench, names, *limits),
        memory=lambda rounds, budget_s, report: measure_memory(bench, names, report),
        growth=lambda *limits: measure_growth(settings, *limits, ranks),
        mixing=lambda *limits: measure_mixing(bench, names, *limits),
        labelling=lambda *limits: measure_labelling(bench, names, *limits),
        scaling=lambda *limits: measure_scaling(bench, *limits),
        loading=lambda *limits: measure_loading(*limits, settings.seed),
        compile=lambda rounds, budget_s, report: measure_compiled(bench, backend, min(rounds, STEPS), report),
    )
    records = []
    for section in sections:
        progress.begin(section)
        records += measures[section](rounds, budgets[section], progress.report)
    progress.end()
    return dict(
        around,
        settings=dict(asdict(settings), rounds=rounds, minutes=minutes),
        bars=find_bars(records),
        records=records,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what mixing methods cost: speed and memory of training, mixing and labelling alone."""
    on_gpu, default = torch.cuda.is_available(), Settings()
    usual = ','.join(name for name in SECTIONS if name not in ON_REQUEST)
    parser = argparse.ArgumentParser(description=main.__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('--methods', default=','.join(USUAL), help='names with commas between them, or all')
    parser.add_argument('--backbone', default=default.backbone, help=', '.join(BACKBONES))
    parser.add_argument('--batch', type=int, default=128 if on_gpu else default.batch, help='images in a step')
    parser.add_argument('--alone-batch', type=int, default=default.alone_batch, help='images mixed or labelled alone')
    parser.add_argument('--size', type=int, default=default.size, help='pixels along the side of an image')
    parser.add_argument('--classes', type=int, default=default.classes, help='of the head')
    parser.add_argument('--device', default='cuda' if on_gpu else 'cpu', help='cpu or cuda')
    parser.add_argument('--amp', default=default.amp, help=', '.join(AMP))
    parser.add_argument('--rounds', type=int, default=30, help='of each section, at most')
    parser.add_argument('--minutes', type=float, default=7.0, help='after which fewer rounds have to do')
    parser.add_argument('--seed', type=int, default=default.seed)
    parser.add_argument('--threads', type=int, help='of torch on the CPU')
    parser.add_argument('--clock', default=default.clock, help='wall; cpu for computing time, with one thread')
    parser.add_argument('--sections', default=usual, help=f'of {", ".join(SECTIONS)}')
    parser.add_argument('--ranks', default=','.join(map(str, RANKS)), help='numbers of processes, for growth')
    parser.add_argument('--compile', action='store_true', help='the section compile too')
    parser.add_argument('--compile-backend', default='inductor', help='of torch.compile')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/benchmark'), help='folder for the results')
    args = parser.parse_args(arguments)
    settings = Settings(
        args.backbone,
        args.size,
        args.batch,
        args.alone_batch,
        args.device,
        args.amp,
        args.seed,
        args.threads,
        args.clock,
        args.classes,
    )
    sections = args.sections.split(',') + ['compile'] * args.compile
    try:
        content = run_benchmark(
            settings,
            args.methods.split(','),
            sections,
            args.rounds,
            args.minutes,
            args.compile_backend,
            _counts(args.ranks),
        )
        paths = write_report(args.out, content)
    except KeyboardInterrupt:
        print('interrupted; nothing was written', file=sys.stderr)
        return 130
    except (ValueError, RuntimeError, OSError, ArithmeticError) as error:
        print(f'benchmark: {error}', file=sys.stderr)
        return 1
    print('\n'.join(f'results: {path}' for path in paths))
    return 0


def _counts(text: str) -> list[int]:
    try:
        return [int(count) for count in text.split(',')]
    except ValueError:
        raise ValueError(f'ranks must be whole numbers with commas between them, got {text!r}') from None
