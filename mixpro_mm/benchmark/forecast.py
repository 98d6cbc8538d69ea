"""A 300-epoch run on ImageNet-1k, on paper: what it takes on so many GPUs, from constants that are measured elsewhere.

``python -m mixpro_mm.benchmark.forecast JSON...`` prints it as a page.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from mixpro_mm.benchmark.cluster import Cluster
from mixpro_mm.benchmark.constants import find_constants
from mixpro_mm.benchmark.forecast_page import page
from mixpro_mm.files import write_text

__all__ = ['forecast', 'main', 'read_runs']

GPUS = (8, 64)


def read_runs(paths: Sequence[Path]) -> dict[str, dict]:
    """File name -> what a file of ``tools/benchmark.py`` holds.

    Raises:
        ValueError: if one is not such a file.
        OSError: if one cannot be read.
    """
    runs = {}
    for path in paths:
        try:
            run = json.loads(path.read_text(encoding='utf-8'))
            sections = {record['section'] for record in run['records']}
            if not isinstance(run['device'], str) or 'amp' not in run['settings']:
                raise TypeError('device is no name, or settings hold no amp')
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f'{path} is not a JSON of tools/benchmark.py: {type(error).__name__}: {error}') from error
        if not sections:
            raise ValueError(f'{path} holds no record')
        runs[path.name] = run
    return runs


def forecast(runs: dict[str, dict], backbone: str, clusters: Sequence[Cluster], command: str) -> str:
    """The page on a backbone and some clusters.

    Args:
        runs: as of :func:`read_runs`; the first that has a constant gives it.
        backbone: as in the names of ``configs/pretrain``.
        clusters: a column each.
        command: that makes the page, for the page to name.

    Raises:
        ValueError: if there is no config of that backbone, or no run has a constant that is needed.
    """
    return page(find_constants(runs, backbone), clusters, command)


def main(arguments: Sequence[str] | None = None) -> int:
    """What the 300-epoch run on ImageNet-1k with MixPro takes, from measured, published and assumed constants."""
    default = Cluster(1)
    parser = argparse.ArgumentParser(
        prog='python -m mixpro_mm.benchmark.forecast',
        description=main.__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('runs', nargs='+', type=Path, metavar='JSON', help='of tools/benchmark.py; the first counts')
    parser.add_argument('--backbone', default='deit-small', help='as in the names of configs/pretrain')
    parser.add_argument('--gpus', type=int, nargs='+', default=list(GPUS), help='a column each')
    parser.add_argument('--per-node', type=int, default=default.per_node, help='GPUs in a node')
    parser.add_argument('--nvlink', type=float, default=default.nvlink, help='GB/s that a GPU sends in its node')
    parser.add_argument('--network', type=float, default=default.network, help='GB/s that a node sends to others')
    parser.add_argument('--overlap', type=float, default=default.overlap, help='share of the all-reduce that is hidden')
    parser.add_argument('--write', type=Path, metavar='FILE', help='instead of printing')
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    args = parser.parse_args(arguments)
    try:
        clusters = [Cluster(gpus, args.per_node, args.nvlink, args.network, args.overlap) for gpus in args.gpus]
        text = forecast(read_runs(args.runs), args.backbone, clusters, f'{parser.prog} {shlex.join(arguments)}')
        if args.write:
            write_text(args.write, text)
    except (ValueError, OSError) as error:
        print(f'forecast: {error}', file=sys.stderr)
        return 1
    if not args.write:
        print(text, end='')
    return 0


if __name__ == '__main__':
    sys.exit(main())
