"""The command line of the benchmark."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

import torch

from mixpro_mm.benchmark.loading import loading
from mixpro_mm.benchmark.measure import growth, labelling, memory, mixing, steps
from mixpro_mm.benchmark.methods import USUAL, method_names
from mixpro_mm.benchmark.report import environment, render
from mixpro_mm.benchmark.workbench import Settings, Workbench
from mixpro_mm.files import write_json, write_text

__all__ = ['SECTIONS', 'main']

SECTIONS = dict(step=steps, memory=memory, growth=growth, labelling=labelling, mixing=mixing, loading=loading)
DEFAULT = 'step,memory,labelling,mixing'


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what mixing methods cost: speed and memory of training, mixing and labelling alone."""
    parser = argparse.ArgumentParser(description=main.__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('--methods', default=','.join(USUAL), help='names separated by commas, or all')
    parser.add_argument('--sections', default=DEFAULT, help=f'of {", ".join(SECTIONS)}')
    for each in fields(Settings):
        kind = int if each.default is None else type(each.default)
        parser.add_argument(f'--{each.name.replace("_", "-")}', type=kind, default=each.default, **each.metadata)
    parser.add_argument('--out', type=Path, default=Path('work_dirs/benchmark'), help='folder for the results')
    if torch.cuda.is_available():
        parser.set_defaults(device='cuda', batch=128)
    args = parser.parse_args(arguments)
    try:
        settings = Settings(**{each.name: getattr(args, each.name) for each in fields(Settings)})
        names, sections = method_names(args.methods.split(',')), args.sections.split(',')
        if unknown := set(sections) - {*SECTIONS}:
            raise ValueError(f'section {min(unknown)!r} is unknown; known: {", ".join(SECTIONS)}')
        bench, records = Workbench(settings), []
        content = dict(environment(bench.device), settings=asdict(settings), records=records)
        for section in (name for name in SECTIONS if name in sections):
            print(f'benchmark: {section}', file=sys.stderr)
            records += SECTIONS[section](bench, names)
        text = render(content)
        args.out.mkdir(parents=True, exist_ok=True)
        write_json(args.out / 'benchmark.json', content)
        write_text(args.out / 'benchmark.md', text)
    except KeyboardInterrupt:
        print('interrupted; nothing was written', file=sys.stderr)
        return 130
    except (ValueError, RuntimeError, OSError, ArithmeticError) as error:
        print(f'benchmark: {error}', file=sys.stderr)
        return 1
    print(f'{text}\nresults: {args.out}/benchmark.json, {args.out}/benchmark.md')
    return 0
