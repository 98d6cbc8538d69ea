"""Test with the toolkit of a config: python tools/test.py CONFIG [arguments of its test script]."""

import sys

from mixpro_mm.cli import main

if __name__ == '__main__':  # spawned data loader workers import this file
    sys.exit(main('test'))
