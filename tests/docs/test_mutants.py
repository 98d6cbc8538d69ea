"""The page on mutants says what the record of its run says, and explains every mutant that was left."""

import json
import re
from collections import Counter
from pathlib import Path

DOCS = Path(__file__).parents[2] / 'docs'
RUN = json.loads((DOCS / 'mutants.json').read_text())
PAGE = (DOCS / 'development' / 'mutants.md').read_text(encoding='utf-8')


def short(name):
    """``mixpro_mm.hooks.labeling.xǁLabelingHookǁ_start__mutmut_16`` without what mutmut adds."""
    name = re.sub(r'\.xǁ|\.x_', '.', name.removeprefix('mixpro_mm.'))
    return name.replace('ǁ', '.').replace('__mutmut_', ' ')


def test_the_record_is_a_whole_run_above_the_bar():
    assert len(RUN['status']) == RUN['sample'] >= 300 and RUN['of'] > 10 * RUN['sample']
    noticed = Counter(RUN['status'].values())
    assert RUN['noticed'] == noticed['killed'] / RUN['sample'] >= 0.9 and noticed.keys() <= {'killed', 'survived'}
    assert RUN['left'].keys() == {name for name, status in RUN['status'].items() if status == 'survived'}


def test_the_page_counts_as_the_record_does():
    said = f'{len(RUN["status"]) - len(RUN["left"])} of {RUN["sample"]}'
    assert f'{said} mutants' in PAGE and f'({RUN["noticed"]:.1%};' in PAGE and f'seed {RUN["seed"]}' in PAGE


def test_every_mutant_that_was_left_is_explained():
    explained = re.findall(r'^\| `([^`]+)` \|', PAGE, re.MULTILINE)
    assert len(explained) == len(set(explained))
    assert set(explained) == {short(name) for name in RUN['left']}
