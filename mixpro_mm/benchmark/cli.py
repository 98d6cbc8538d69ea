"""The command line of the benchmark."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from mixpro_mm.benchmark.fashion import fashion
from mixpro_mm.benchmark.loading import loading
from mixpro_mm.benchmark.measure import growth, labelling, memory, mixing, steps
from mixpro_mm.benchmark.methods import METHODS, USUAL
from mixpro_mm.benchmark.ops import ops
from mixpro_mm.benchmark.report import environment, render
from mixpro_mm.benchmark.workbench import AMP, CLOCKS, Workbench
from mixpro_mm.utils.files import write_json, write_text

__all__ = ['SECTIONS', 'main']

SECTIONS = dict(step=steps, memory=memory, growth=growth, labelling=labelling, mixing=mixing, ops=ops)
SECTIONS |= dict(loading=loading, fashion=fashion)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure speed and memory of mixing methods: training steps, mixing and labelling."""
    parser = argparse.ArgumentParser(description=main.__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add, devices = parser.add_argument, ['cpu', 'cuda'][: 1 + torch.cuda.is_available()]
    add('--methods', default=','.join(USUAL), help=f'{", ".join(METHODS)}, or all')
    add('--sections', default='step,memory,labelling,mixing,ops', help=f'sections to run: {", ".join(SECTIONS)}')
    add('--backbone', default='deit-small', help='name as in configs/pretrain, or a config file')
    add('--size', type=int, default=224, help='side of the images in pixels')
    add('--batch', type=int, default=128 if 'cuda' in devices else 8, help='images in a training step')
    add('--alone-batch', type=int, default=64, help='images when only mixing or labelling is timed')
    add('--classes', type=int, default=1000, help='classes of the head')
    add('--device', default=devices[-1], choices=devices, help='cuda needs a GPU that torch can use')
    add('--amp', default='none', choices=AMP, help='mixed precision on cuda')
    add('--rounds', type=int, default=30, help='maximum rounds of each section, after one warm-up round')
    add('--minutes', type=float, default=2.0, help='time limit of each section, which has at least 3 rounds')
    add('--seed', type=int, default=0, help='seed of weights, images, masks and the order of methods')
    add('--threads', type=int, default=torch.get_num_threads(), help='threads of torch on a CPU')
    add('--clock', default='wall', choices=CLOCKS, help='cpu: CPU time of this process, with one thread')
    add('--out', type=Path, default='work_dirs/benchmark', help='folder for the results')
    args = parser.parse_args(arguments)
    for name, known in (('methods', [*METHODS, 'all']), ('sections', SECTIONS)):
        if unknown := [value for value in getattr(args, name).split(',') if value not in known]:
            parser.error(f'{name} {", ".join(unknown)} unknown; known: {", ".join(known)}')
    if min(args.size, args.batch, args.alone_batch, args.classes, args.rounds, args.minutes, args.threads) <= 0:
        parser.error('size, batches, classes, rounds, minutes and threads must be above 0')
    if args.amp != 'none' and args.device != 'cuda':
        parser.error(f'--amp {args.amp} needs a CUDA device, not {args.device}')
    if args.clock == 'cpu' and (args.device, args.threads) != ('cpu', 1):
        parser.error('--clock cpu sums over threads and ignores the GPU: use --device cpu --threads 1')
    try:
        bench, records = Workbench(args), []
        settings = {name: value for name, value in vars(args).items() if name != 'out'}
        content = dict(environment(bench.device), settings=settings, records=records)
        names = [name for name in METHODS if name in args.methods.split(',') or args.methods == 'all']
        for section in (name for name in SECTIONS if name in args.sections.split(',')):
            print(f'benchmark: {section}', file=sys.stderr)
            records += SECTIONS[section](bench, names)
        text = render(content)
        args.out.mkdir(parents=True, exist_ok=True)
        write_json(args.out / 'benchmark.json', content)
        write_text(args.out / 'benchmark.md', text)
    except (ValueError, RuntimeError, OSError, ArithmeticError) as error:
        print(f'benchmark: {error}', file=sys.stderr)
        return 1
    print(f'{text}\nresults: {args.out}/benchmark.json, {args.out}/benchmark.md')
    return 0
