"""Train with the toolkit a config is for: python tools/train.py CONFIG [arguments of its train script]."""

import sys

from mixpro_mm.cli import main

if __name__ == '__main__':  # data loaders that spawn import this file, too
    sys.exit(main('train'))
