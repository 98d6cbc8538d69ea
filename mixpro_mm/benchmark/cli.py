"""The command line of the benchmark."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path

import torch

from mixpro_mm.benchmark.alone import measure_labelling, measure_mixing
from mixpro_mm.benchmark.loading import measure_loading
from mixpro_mm.benchmark.measure import growth_cases, interleave, measure_growth, measure_memory, measure_steps
from mixpro_mm.benchmark.methods import USUAL, method_names
from mixpro_mm.benchmark.report import environment, write_report
from mixpro_mm.benchmark.workbench import Settings, Workbench

__all__ = ['SECTIONS', 'main', 'run_benchmark']

SECTIONS = dict(step=0.5, memory=0.1, growth=2.0, labelling=0.2, mixing=0.1, loading=0.05)  # shares of the time
DEFAULT = ('step', 'memory', 'labelling', 'mixing')


def run_benchmark(
    settings: Settings,
    methods: Sequence[str] = USUAL,
    sections: Sequence[str] = DEFAULT,
    rounds: int = 30,
    minutes: float = 7.0,
) -> dict:
    """Measure, and return the content of ``benchmark.json``.

    Args:
        settings: Model, images, device and precision.
        methods: Names of ``METHODS``, or 'all'.
        sections: Names of ``SECTIONS``.
        rounds: At most, in each section, after one to warm up.
        minutes: Shared among the sections; after its share a section stops, with three rounds at least.

    Raises:
        ValueError: if a name is unknown or a number out of range.
    """
    names = method_names(methods)
    if unknown := [name for name in sections if name not in SECTIONS]:
        raise ValueError(f'section {unknown[0]!r} is unknown; known: {", ".join(SECTIONS)}')
    if rounds < 1 or minutes <= 0:
        raise ValueError(f'rounds must be at least 1 and minutes above 0, got {rounds} and {minutes}')
    total = sum(SECTIONS[name] for name in sections)
    bench, records = Workbench(settings), []
    content = dict(environment(bench.device), settings=dict(asdict(settings), rounds=rounds, minutes=minutes))
    for section in (name for name in SECTIONS if name in sections):
        budget_s = 60 * minutes * SECTIONS[section] / total
        print(f'benchmark: {section}, about {budget_s:.0f} s', file=sys.stderr)
        turns = partial(interleave, rounds=rounds, budget_s=budget_s, seed=settings.seed)
        if section == 'step':
            records += measure_steps(bench, names, turns)
        elif section == 'memory':
            records += measure_memory(bench, names)
        elif section == 'growth':
            share = budget_s / len(growth_cases(settings))
            records += measure_growth(settings, partial(turns, budget_s=share))
        elif section == 'labelling':
            records += measure_labelling(bench, names, turns)
        elif section == 'mixing':
            records += measure_mixing(bench, names, turns)
        else:
            records += measure_loading(turns, settings.seed)
    return dict(content, records=records)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what mixing methods cost: speed and memory of training, mixing and labelling alone."""
    parser = argparse.ArgumentParser(description=main.__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('--methods', default=','.join(USUAL), help='names separated by commas, or all')
    parser.add_argument('--sections', default=','.join(DEFAULT), help=f'of {", ".join(SECTIONS)}')
    parser.add_argument('--rounds', type=int, default=30, help='of each section, at most')
    parser.add_argument('--minutes', type=float, default=7.0, help='after which fewer rounds are done')
    for each in fields(Settings):
        kind = str if isinstance(each.default, str) else int
        option = f'--{each.name.replace("_", "-")}'
        parser.add_argument(option, type=kind, default=each.default, help=each.metadata['help'])
    parser.add_argument('--out', type=Path, default=Path('work_dirs/benchmark'), help='folder for the results')
    if torch.cuda.is_available():
        parser.set_defaults(device='cuda', batch=128)
    args = parser.parse_args(arguments)
    try:
        settings = Settings(**{each.name: getattr(args, each.name) for each in fields(Settings)})
        methods, sections = args.methods.split(','), args.sections.split(',')
        paths = write_report(args.out, run_benchmark(settings, methods, sections, args.rounds, args.minutes))
    except KeyboardInterrupt:
        print('interrupted; nothing was written', file=sys.stderr)
        return 130
    except (ValueError, RuntimeError, OSError, ArithmeticError) as error:
        print(f'benchmark: {error}', file=sys.stderr)
        return 1
    print('\n'.join(f'results: {path}' for path in paths))
    return 0
