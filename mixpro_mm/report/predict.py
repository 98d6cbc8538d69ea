"""Command line of predictions on one's own images."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from mixpro_mm.report.figures.canvas import write_figure

__all__ = ['main']


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the predictions of a classifier, segmentation model or detector for images, one picture for each."""
    parser = argparse.ArgumentParser(prog='predict.py', description=main.__doc__)
    parser.add_argument('config', help='config of mmpretrain, mmseg or mmdet')
    parser.add_argument('checkpoint')
    parser.add_argument('images', nargs='+', metavar='IMAGE')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/predictions'), help='folder (%(default)s)')
    parser.add_argument('--device', default='cpu', help='cpu or cuda (%(default)s)')
    parser.add_argument('--score', type=float, default=0.3, help='minimum score of a detection (%(default)s)')
    args = parser.parse_args(arguments)
    from mmengine.logging import MMLogger

    from mixpro_mm.report.figures.predictions import Predictor

    MMLogger.get_current_instance().setLevel(logging.WARNING)  # no messages of model building
    stems = [Path(image).stem for image in args.images]
    names = stems if len({*stems}) == len(stems) else [f'{number}-{stem}' for number, stem in enumerate(stems)]
    try:
        predictor = Predictor(args.config, args.checkpoint, args.device, args.score)
        for name, image in zip(names, args.images, strict=True):
            figure, text = predictor.draw(image)
            print(f'{image}: {text}; {write_figure(figure, args.out / f"{name}.png")}')
    except (ValueError, RuntimeError, OSError) as error:
        print(f'predict: {" ".join(str(error).split())}', file=sys.stderr)
        return 1
    return 0
