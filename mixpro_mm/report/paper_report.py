"""A report of any runs: ``tables.html``, ``tables.md`` and optionally ``tables.tex``."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from mixpro_mm.report.blocks import record_blocks, source_blocks
from mixpro_mm.report.page import write_pages
from mixpro_mm.report.records import collect
from mixpro_mm.utils.arguments import counted

__all__ = ['main', 'write_paper_report']


def write_paper_report(paths: Iterable[str | Path], out_dir: str | Path, latex: bool = False) -> list[Path]:
    """Collect the results below ``paths`` and write a report to ``out_dir``; return the written texts.

    Args:
        paths: Folders or JSON files, see ``collect``.
        out_dir: Created if missing.
        latex: Also write ``tables.tex``.

    Raises:
        ValueError: if nothing is found, or two records of one cell and seed differ.
    """
    records, out_dir = collect(paths), Path(out_dir)
    count = f'{counted(len(records), "number")} from {counted(len({r["source"] for r in records}), "file")}'
    blocks = [('title', 'Results in the tables of MixPro', count), *record_blocks(records, out_dir / 'figures')]
    return write_pages(out_dir, 'tables', [*blocks, *source_blocks(records)], latex)


def main(arguments: list[str] | None = None) -> int:
    """Write a report of studies and runs in the layout of the paper's tables; return 0, or 1 on failure."""
    parser = argparse.ArgumentParser(prog='report.py', description=main.__doc__.split(';')[0] + '.')
    parser.add_argument('paths', nargs='+', type=Path, metavar='DIR', help='work directories or JSON files')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/report'), help='output folder (%(default)s)')
    parser.add_argument('--latex', action='store_true', help='also write tables.tex')
    args = parser.parse_args(arguments)
    try:
        print(*write_paper_report(args.paths, args.out, args.latex), sep='\n')
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0
