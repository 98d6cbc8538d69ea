"""The command line of the pictures; each command imports what it needs only when it is called."""

import argparse
import logging
import sys
from collections.abc import Sequence

from mixpro_mm.visualize.paper import WIDTHS

__all__ = ['main']


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw a picture: what a config mixes, what a checkpoint attends to, what runs have logged. docs/pictures.md."""
    args = vars(_parser().parse_args(arguments))
    command = args.pop('command')
    try:
        paths = COMMANDS[command](**args)
    except KeyboardInterrupt:
        print('interrupted; nothing was written', file=sys.stderr)
        return 130
    except (ValueError, RuntimeError, OSError) as error:
        print(f'{command}: {" ".join(str(error).split())}', file=sys.stderr)
        return 1
    for path in paths:
        print(path)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='visualize.py', description=main.__doc__)
    commands = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')

    def add(name: str, text: str, sized: bool = True) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        where = f'.png or .svg, both without a suffix; work_dirs/pictures/{name} if omitted'
        command.add_argument('--out', metavar='FILE', help=where)
        if sized:
            sizes = ', '.join(f'{size}: {inches} in' for size, inches in WIDTHS.items())
            command.add_argument('--width', choices=WIDTHS, default='column', help=f'{sizes} (column)')
        return command

    one = add('mixed', 'images, partners, mask, mixed images and label weights of a config (Figure 6)')
    one.add_argument('config', metavar='CONFIG', help='of mmpretrain; its own data, pipeline and augments are used')
    one.add_argument('--checkpoint', metavar='FILE', help='to weigh labels by attention, and to draw that')
    one.add_argument('--augment', metavar='NAME', help='which one; the first that keeps its labels open if omitted')
    _numbers(one, num=(4, 'images to show'), seed=(0, 'of images and mix'))

    one = add('masks', 'the four ways to mask: region, block, random, random with larger cells (Figure 4)')
    _numbers(one, size=(224, 'side of the image in pixels'), patch=(16, 'side of a patch in pixels'))
    _numbers(one, scale=(4, 'patches along a cell of the last mask'), seed=(0, 'of the masks'))
    one.add_argument('--lam', type=float, default=0.5, help='share of the image itself (0.5)')

    one = add('attention', 'class attention of several models beside each other (Figure 6)')
    text = '[NAME=]CONFIG.py:CHECKPOINT or CONFIG.py CHECKPOINT for each model; what remains are images'
    one.add_argument('words', nargs='+', metavar='MODEL|IMAGE', help=f'{text}, test images of the first if omitted')
    one.add_argument('--mixed', action='store_true', help='mix the images first, as Figure 6 does')
    _numbers(one, num=(4, 'test images to show'), seed=(0, 'of their choice'))

    one = add('factor', 'the progressive factor over training, and in one mini-batch (Figures 2a, 2b)')
    one.add_argument('work_dirs', nargs='+', metavar='[NAME=]WORK_DIR')
    _numbers(one, num=(None, 'images of the mini-batch; the batch size of the config if omitted'), seed=(0, 'of it'))

    one = add('curves', 'loss and top-1 error over training (Figures 2c, 2d)')
    one.add_argument('work_dirs', nargs='+', metavar='[NAME=]WORK_DIR')

    one = add('occlusion', 'top-1 over information loss (Figure 3), 7.2 in wide', sized=False)
    one.add_argument('files', nargs='+', metavar='[NAME=]JSON', help='occlusion.json of a test')

    one = add('sweep', 'top-1 over mask scale and over beta (Figure 5)')
    one.add_argument('places', nargs='+', metavar='[NAME=]DIR', help='work directory, or results.json or its folder')
    return parser


def _numbers(parser: argparse.ArgumentParser, **numbers: tuple[int | None, str]) -> None:
    for name, (default, text) in numbers.items():
        shown = '' if default is None else f' ({default})'
        parser.add_argument(f'--{name}', type=int, default=default, help=text + shown)


def _quiet() -> None:
    """What hosts tell while they build a model is not what was asked for."""
    from mmengine.logging import MMLogger

    MMLogger.get_current_instance().setLevel(logging.WARNING)


def _mixed(**args):
    from mixpro_mm.visualize.mixed import draw_mixed

    _quiet()
    return draw_mixed(**args)


def _masks(**args):
    from mixpro_mm.report.figures.masks import draw_masks

    return draw_masks(**args)


def _attention(**args):
    from mixpro_mm.report.figures.attention import draw_attention

    _quiet()
    return draw_attention(**args)


def _factor(**args):
    from mixpro_mm.report.figures.factor import draw_factor

    _quiet()
    return draw_factor(**args)


def _curves(**args):
    from mixpro_mm.visualize.curves import draw_curves

    return draw_curves(**args)


def _occlusion(**args):
    from mixpro_mm.visualize.occlusion import draw_occlusion

    return draw_occlusion(**args)


def _sweep(**args):
    from mixpro_mm.report.figures.sweep import draw_sweep

    return draw_sweep(**args)


COMMANDS = dict(
    mixed=_mixed,
    masks=_masks,
    attention=_attention,
    factor=_factor,
    curves=_curves,
    occlusion=_occlusion,
    sweep=_sweep,
)
