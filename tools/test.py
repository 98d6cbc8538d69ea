"""Test with the toolkit a config is for: python tools/test.py CONFIG [arguments of its test script]."""

import sys

from mixpro_mm.cli import main

if __name__ == '__main__':  # data loaders that spawn import this file, too
    sys.exit(main('test'))
