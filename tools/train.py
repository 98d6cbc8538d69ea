"""Train with the toolkit of a config: python tools/train.py CONFIG [arguments of its train script]."""

import sys

from mixpro_mm.cli import main

if __name__ == '__main__':  # spawned data loader workers import this file
    sys.exit(main('train'))
