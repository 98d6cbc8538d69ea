"""Measure how many small faults the tests detect: mutmut changes one expression of the package at a time.

``python tests/mutants.py --sample 400 --seed 0`` draws 400 of some 6,000 mutants, runs the tests that reach each, and
writes ``report.md`` and ``mutants.json``. The exit code is 1 if fewer than 90 % are detected. pyproject.toml sets the
files and tests in ``[tool.mutmut]``. mutmut enables a mutant after import, when tables made at import exist already;
undetected mutants are therefore tested again in a new process.
"""

import argparse
import collections
import json
import os
import random
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from mixpro_mm.report.tables import markdown_table
from mixpro_mm.utils.files import write_json, write_text

ROOT = Path(__file__).parents[1]
BAR = 0.9
DETECTED = {'killed', 'timeout', 'segfault'}
SUBPACKAGES = dict(  # tests of each changed subpackage
    functional=['tests/functional', 'tests/augments', 'tests/labeling'],
    labeling=['tests/labeling', 'tests/hooks'],
    hooks=['tests/hooks'],
    transfer=['tests/transfer'],
)
FIRST = 'mixpro_mm.labeling.tap.*__mutmut_1'  # mutmut writes all mutants before it runs any


def main(arguments: list[str] | None = None) -> int:
    """Run the mutation test; return 0 if enough mutants are detected."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--sample', type=int, default=400)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--jobs', type=int, default=2)
    parser.add_argument('--out', type=Path, default=ROOT / 'work_dirs' / 'mutants')
    options = parser.parse_args(arguments)

    tree = options.out / 'tree'
    shutil.rmtree(tree, ignore_errors=True)
    listed = subprocess.run(['git', 'ls-files', '-z'], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split('\0')):  # a copy, because mutmut writes beside the files
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tree / name)
    _output(tree, 'run', FIRST)
    names = sorted(_statuses(tree))
    drawn = sorted(random.Random(options.seed).sample(names, options.sample))
    reached = json.loads((tree / 'mutants' / 'mutmut-stats.json').read_text())['tests_by_mangled_function_name']
    tested = [name for name in drawn if reached.get(name.rpartition('__mutmut_')[0])]
    _output(tree, 'run', '--max-children', str(options.jobs), *tested)

    found = _statuses(tree)
    status = {name: found[name] if name in tested else 'no tests' for name in drawn}
    again = [name for name in drawn if status[name] not in DETECTED]
    for subpackage in {name.split('.')[1] for name in again}:
        if _in_a_new_process(tree, subpackage):
            raise RuntimeError(f'{" ".join(SUBPACKAGES[subpackage])} fail in {tree / "mutants"} without a mutant')
    with ThreadPoolExecutor(options.jobs) as pool:
        seen = pool.map(lambda name: _in_a_new_process(tree, name.split('.')[1], name), again)
        status |= {name: 'killed' for name, detected in zip(again, seen, strict=True) if detected}
    left = {name: _output(tree, 'show', name) for name in drawn if status[name] not in DETECTED}
    share = 1 - len(left) / len(drawn)
    facts = dict(sample=options.sample, seed=options.seed, of=len(names), noticed=share, status=status, left=left)
    write_json(options.out / 'mutants.json', facts)
    write_text(options.out / 'report.md', _report(facts))
    print(f'{len(drawn) - len(left)} of {len(drawn)} mutants detected ({share:.1%}); {options.out / "report.md"}')
    return int(share < BAR)


def _in_a_new_process(tree: Path, subpackage: str, name: str = '') -> bool:
    """Return whether the tests of a subpackage detect a mutant that is enabled from the first import on."""
    command = [sys.executable, '-m', 'pytest', '-q', '-x', '-m', 'not slow and not long', *SUBPACKAGES[subpackage]]
    environment = dict(os.environ, MUTANT_UNDER_TEST=name)
    return subprocess.run(command, cwd=tree / 'mutants', env=environment, capture_output=True).returncode != 0


def _output(tree: Path, *arguments: str) -> str:
    command = [sys.executable, '-m', 'mutmut', *arguments]
    return subprocess.run(command, cwd=tree, stdout=subprocess.PIPE, text=True, check=True).stdout


def _statuses(tree: Path) -> dict[str, str]:
    lines = (line.strip().rpartition(': ') for line in _output(tree, 'results', '--all', 'true').splitlines())
    return {name: status for name, _, status in lines if '__mutmut_' in name}


def _report(facts: dict) -> str:
    """Return the counts by module, and the differences of undetected mutants."""
    counts = collections.defaultdict(collections.Counter)
    for name, status in facts['status'].items():
        counts[name.rpartition('.')[0].removeprefix('mixpro_mm.')][status] += 1
    kinds = sorted({kind for counter in counts.values() for kind in counter})
    rows = [[module, *(str(counts[module][kind]) for kind in kinds)] for module in sorted(counts)]
    total = f'{facts["noticed"]:.1%} of {facts["sample"]} detected; drawn of {facts["of"]:,} with seed {facts["seed"]}.'
    blocks = [markdown_table(pd.DataFrame(rows, columns=['module', *kinds])), total]
    blocks += [f'### {name}\n\n```diff\n{difference}```' for name, difference in facts['left'].items()]
    return '\n\n'.join(blocks) + '\n'


if __name__ == '__main__':
    sys.exit(main())
