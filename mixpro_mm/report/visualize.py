"""Command line of the figures."""

import argparse
import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from mixpro_mm.report.figures.canvas import METADATA, WIDTHS, write_figure

__all__ = ['main']

RUN, SEED = '[NAME=]WORK_DIR', (0, 'random seed of images, masks and mix')
# command -> help, positional argument (name, metavar, help), numbers (default, help)
COMMANDS = {
    'mixed': ('images, partners, mask, mixed images and label weights (Figure 6)',
              ('config', 'CONFIG', 'config of mmpretrain'), dict(num=(4, 'images'), seed=SEED)),
    'masks': ('region, block, random and larger random masks (Figure 4)', None,
              dict(size=(224, 'image size in pixels'), patch=(16, 'patch size in pixels'), seed=SEED,
                   scale=(4, 'cell size of the last mask in patches'), lam=(0.5, 'fraction of the first image'))),
    'attention': ('attention of several models (Figure 6)',
                  ('words', 'MODEL|IMAGE', '[NAME=]CONFIG.py:CHECKPOINT per model, then images (default: test images)'),
                  dict(num=(4, 'test images'), seed=SEED)),
    'factor': ('the progressive factor over training, and in a mini-batch (Figures 2a, 2b)', ('work_dirs', RUN, None),
               dict(num=(None, 'images of the mini-batch (default: batch size of the config)'), seed=SEED)),
    'curves': ('loss and top-1 error over training (Figures 2c, 2d)', ('work_dirs', RUN, None), {}),
    'occlusion': ('top-1 over information loss (Figure 3)', ('files', '[NAME=]JSON', 'occlusion.json of a test'), {}),
    'sweep': ('top-1 over mask scale and over beta (Figure 5)',
              ('places', '[NAME=]DIR', 'work directory, results.json, or its folder'), {}),
}  # fmt: skip
MODULES = dict(attention='mixed', factor='curves', occlusion='results', sweep='results')


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw mixed images, masks, class attention, training curves or results. See docs/pictures.md."""
    args = vars(_parser().parse_args(arguments))
    command, out = args.pop('command'), args.pop('out')
    try:
        out = Path(out or f'work_dirs/pictures/{command}')
        if out.is_dir() or out.suffix.lower() not in ('', *METADATA):
            raise ValueError(f'--out {out} must be a file that ends in .png or .svg, or has no suffix')
        module = import_module(f'mixpro_mm.report.figures.{MODULES.get(command, command)}')
        if command in ('mixed', 'attention', 'factor'):
            from mmengine.logging import MMLogger

            MMLogger.get_current_instance().setLevel(logging.WARNING)  # no messages of model building
        figure = getattr(module, f'draw_{command}')(**args)
        for path in [out] if out.suffix else [out.with_suffix(suffix) for suffix in METADATA]:
            print(write_figure(figure, path, dpi=300))
    except (ValueError, RuntimeError, OSError) as error:
        print(f'{command}: {" ".join(str(error).split())}', file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='visualize.py', description=main.__doc__)
    commands = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    for name, (text, positional, numbers) in COMMANDS.items():
        one = commands.add_parser(name, help=text, description=text)
        if positional:
            word, metavar, meaning = positional
            one.add_argument(word, metavar=metavar, help=meaning, **({} if word == 'config' else {'nargs': '+'}))
        if name == 'mixed':
            one.add_argument('--checkpoint', metavar='FILE', help='draw its attention and label weights')
            one.add_argument('--augment', metavar='NAME', help='default: the first of the config')
        if name == 'attention':
            one.add_argument('--mixed', action='store_true', help='mix the images first')
        for option, (default, meaning) in numbers.items():
            meaning += '' if default is None else f' ({default})'
            one.add_argument(f'--{option}', type=type(default or 0), default=default, help=meaning)
        one.add_argument('--out', metavar='FILE', help=f'.png, .svg, or both without (work_dirs/pictures/{name})')
        one.add_argument('--width', choices=WIDTHS, default='column', help='3.25 or 6.75 inches (column)')
    return parser
