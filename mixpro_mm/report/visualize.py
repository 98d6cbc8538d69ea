"""The command line of the figures; a command imports its module only when it is called."""

import argparse
import logging
import sys
from collections.abc import Sequence
from importlib import import_module

from mixpro_mm.report.figures.canvas import WIDTHS

__all__ = ['main']


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw a figure: what a config mixes, what a checkpoint attends to, what runs have logged. See docs/pictures.md."""
    args = vars(_parser().parse_args(arguments))
    command = args.pop('command')
    try:
        module = 'curves' if command == 'factor' else command
        draw = getattr(import_module(f'mixpro_mm.report.figures.{module}'), f'draw_{command}')
        if command in ('mixed', 'attention', 'factor'):
            from mmengine.logging import MMLogger

            MMLogger.get_current_instance().setLevel(logging.WARNING)  # nothing about building models
        for path in draw(**args):
            print(path)
    except KeyboardInterrupt:
        print('interrupted; nothing was written', file=sys.stderr)
        return 130
    except (ValueError, RuntimeError, OSError) as error:
        print(f'{command}: {" ".join(str(error).split())}', file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='visualize.py', description=main.__doc__)
    commands = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')

    def add(name: str, text: str, **numbers: tuple[float | None, str]) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        where = f'.png or .svg, both without a suffix; work_dirs/pictures/{name} if omitted'
        command.add_argument('--out', metavar='FILE', help=where)
        sizes = ', '.join(f'{size}: {inches} in' for size, inches in WIDTHS.items())
        command.add_argument('--width', choices=WIDTHS, default='column', help=f'{sizes} (column)')
        for option, (default, meaning) in numbers.items():
            shown = '' if default is None else f' ({default})'
            command.add_argument(f'--{option}', type=type(default or 0), default=default, help=meaning + shown)
        return command

    seed = (0, 'random seed of images, masks and mix')
    one = add(
        'mixed', 'images, partners, mask, mixed images and label weights (Figure 6)', num=(4, 'images'), seed=seed
    )
    one.add_argument('config', metavar='CONFIG', help='of mmpretrain; its data, pipeline and augments are used')
    one.add_argument('--checkpoint', metavar='FILE', help='weigh labels by its attention, and draw that')
    one.add_argument('--augment', metavar='NAME', help='the first that leaves its labels open if omitted')
    add(
        'masks', 'region, block, random, and random with larger cells (Figure 4)', seed=seed,
        size=(224, 'side of the image in pixels'), patch=(16, 'side of a patch in pixels'),
        scale=(4, 'patches along a cell of the last mask'), lam=(0.5, 'share of the image itself'),
    )  # fmt: skip
    one = add('attention', 'attention of several models (Figure 6)', num=(4, 'test images'), seed=seed)
    text = '[NAME=]CONFIG.py:CHECKPOINT or CONFIG.py CHECKPOINT for each model; then images, test images if omitted'
    one.add_argument('words', nargs='+', metavar='MODEL|IMAGE', help=text)
    one.add_argument('--mixed', action='store_true', help='mix the images first')
    batch = (None, 'images of the mini-batch; the batch size of the config if omitted')
    one = add(
        'factor', 'the progressive factor over training, and in a mini-batch (Figures 2a, 2b)', num=batch, seed=seed
    )
    one.add_argument('work_dirs', nargs='+', metavar='[NAME=]WORK_DIR')
    one = add('curves', 'loss and top-1 error over training (Figures 2c, 2d)')
    one.add_argument('work_dirs', nargs='+', metavar='[NAME=]WORK_DIR')
    one = add('occlusion', 'top-1 over information loss (Figure 3)')
    one.add_argument('files', nargs='+', metavar='[NAME=]JSON', help='occlusion.json of a test')
    one = add('sweep', 'top-1 over mask scale and over beta (Figure 5)')
    one.add_argument('places', nargs='+', metavar='[NAME=]DIR', help='work directory, results.json, or its folder')
    return parser
