"""The command line of the report."""

import argparse
import functools
import sys
from pathlib import Path

from mixpro_mm.report.paper_report import write_paper_report

__all__ = ['main']


def main(arguments: list[str] | None = None) -> int:
    """Results of any number of studies and runs, in the tables of the paper; returns 0, or 1 on failure."""
    parser = argparse.ArgumentParser(prog='report.py', description=main.__doc__.split(';')[0] + '.')
    parser.add_argument('paths', nargs='+', type=Path, metavar='DIR', help='work directories, or JSON files')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/report'), help='folder to write to (%(default)s)')
    parser.add_argument('--latex', action='store_true', help='write tables.tex too')
    args = parser.parse_args(arguments)
    try:
        warn = functools.partial(print, file=sys.stderr)
        for path in write_paper_report(args.paths, args.out, args.latex, warn):
            print(path)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0
