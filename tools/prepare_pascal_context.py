"""Prepare Pascal Context: python tools/prepare_pascal_context.py DEVKIT [--annotations JSON] [--check]."""

import argparse
import sys

from mixpro_mm.datasets.pascal_context import prepare

parser = argparse.ArgumentParser(description='Draw the class maps of Pascal Context, and check them.')
parser.add_argument('devkit', nargs='?', default='data/VOCdevkit', help='folder with VOC2010 (default: %(default)s)')
parser.add_argument('--annotations', help='trainval_merged.json (default: that in VOC2010)')
parser.add_argument('--check', action='store_true', help='only look at what is there')
args = parser.parse_args()
try:
    print(prepare(args.devkit, args.annotations, only_check=args.check))
except (OSError, RuntimeError, ValueError) as error:
    sys.exit(str(error))
