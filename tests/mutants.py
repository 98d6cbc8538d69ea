"""How many small faults the tests notice: mutmut changes one expression at a time where the numbers are made.

``python tests/mutants.py --sample 400 --seed 0`` draws that many of some 6,000 mutants, runs the tests that reach each,
and writes ``report.md`` and ``mutants.json``. Exit code 1 below 90 %. What is changed, and which tests run, is
``[tool.mutmut]`` of pyproject.toml. mutmut switches a mutant on in a process that has imported the package already, so
tables made at import stay as they are; what it finds unnoticed is therefore tried again in a new process.
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
MUTMUT = [sys.executable, '-m', 'mutmut']
BAR = 0.9
NOTICED = {'killed', 'timeout', 'segfault'}  # a mutant that loops for ever does not pass
SUBPACKAGES = dict(  # tests of what is changed
    functional=['tests/functional', 'tests/augments', 'tests/labeling'],
    labeling=['tests/labeling', 'tests/hooks'],
    hooks=['tests/hooks'],
    transfer=['tests/transfer'],
)
FIRST = 'mixpro_mm.labeling.tap.*__mutmut_1'  # any few: mutmut writes all its mutants before it runs these


def main(arguments: list[str] | None = None) -> int:
    """Run; 0 if enough were noticed."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--sample', type=int, default=400)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--jobs', type=int, default=2)
    parser.add_argument('--out', type=Path, default=ROOT / 'work_dirs' / 'mutants')
    options = parser.parse_args(arguments)

    tree = options.out / 'tree'
    _copy(tree)
    _mutmut(tree, 'run', FIRST)
    names = sorted(_statuses(tree))
    if options.sample > len(names):
        parser.error(f'--sample is {options.sample}, and there are {len(names)} mutants')
    drawn = sorted(random.Random(options.seed).sample(names, options.sample))
    reached = json.loads((tree / 'mutants' / 'mutmut-stats.json').read_text())['tests_by_mangled_function_name']
    tested = [name for name in drawn if reached.get(name.rpartition('__mutmut_')[0])]
    _mutmut(tree, 'run', '--max-children', str(options.jobs), *tested)

    found = _statuses(tree)
    status = {name: found[name] if name in tested else 'no tests' for name in drawn}
    again = [name for name in drawn if status[name] not in NOTICED]
    for subpackage in {name.split('.')[1] for name in again}:
        if _in_a_new_process(tree, subpackage):
            raise RuntimeError(
                f'without a mutant, {" ".join(SUBPACKAGES[subpackage])} should be green in {tree / "mutants"}'
            )
    with ThreadPoolExecutor(options.jobs) as pool:
        seen = pool.map(lambda name: _in_a_new_process(tree, name.split('.')[1], name), again)
        status |= {name: 'killed' for name, noticed in zip(again, seen, strict=True) if noticed}
    left = {name: _output(tree, 'show', name) for name in drawn if status[name] not in NOTICED}
    share = 1 - len(left) / len(drawn)
    facts = dict(sample=options.sample, seed=options.seed, of=len(names), noticed=share, status=status, left=left)
    write_json(options.out / 'mutants.json', facts)
    write_text(options.out / 'report.md', _report(facts))
    print(f'{len(drawn) - len(left)} of {len(drawn)} mutants noticed ({share:.1%}); {options.out / "report.md"}')
    return int(share < BAR)


def _copy(tree: Path) -> None:
    """The files under version control, as they are now: mutmut writes beside them."""
    shutil.rmtree(tree, ignore_errors=True)
    listed = subprocess.run(['git', 'ls-files', '-z'], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split('\0')):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tree / name)


def _mutmut(tree: Path, *arguments: str) -> None:
    log = tree.parent / 'mutmut.log'
    print(f'mutmut {" ".join(arguments[:3])} ...; its progress is in {log}', flush=True)
    with log.open('a') as out:
        subprocess.run([*MUTMUT, *arguments], cwd=tree, check=True, stdout=out, stderr=out)


def _in_a_new_process(tree: Path, subpackage: str, name: str = '') -> bool:
    """Whether the tests of a subpackage notice a mutant that is there from the first import on."""
    command = [sys.executable, '-m', 'pytest', '-q', '-x', '-m', 'not slow and not long', *SUBPACKAGES[subpackage]]
    environment = dict(os.environ, MUTANT_UNDER_TEST=name)
    return subprocess.run(command, cwd=tree / 'mutants', env=environment, capture_output=True).returncode != 0


def _output(tree: Path, *arguments: str) -> str:
    return subprocess.run([*MUTMUT, *arguments], cwd=tree, capture_output=True, text=True, check=True).stdout


def _statuses(tree: Path) -> dict[str, str]:
    lines = (line.strip().rpartition(': ') for line in _output(tree, 'results', '--all', 'true').splitlines())
    return {name: status for name, _, status in lines if '__mutmut_' in name}


def _report(facts: dict) -> str:
    """Counts by file, then what was left as differences."""
    counts = collections.defaultdict(collections.Counter)
    for name, status in facts['status'].items():
        counts[name.rpartition('.')[0].removeprefix('mixpro_mm.')][status] += 1
    kinds = sorted({kind for counter in counts.values() for kind in counter})
    rows = [[module, *(str(counts[module][kind]) for kind in kinds)] for module in sorted(counts)]
    total = f'{facts["noticed"]:.1%} of {facts["sample"]} noticed; drawn of {facts["of"]:,} with seed {facts["seed"]}.'
    lines = [markdown_table(pd.DataFrame(rows, columns=['module', *kinds])), '', total, '']
    for name, difference in facts['left'].items():
        changed = [line for line in difference.splitlines() if line[:1] in '+-' and line[:3] not in ('+++', '---')]
        lines += [f'### {name}', '', '```diff', *changed, '```', '']
    return '\n'.join(lines)


if __name__ == '__main__':
    sys.exit(main())
