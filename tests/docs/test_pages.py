"""Messages, settings, paths and layers named in the pages exist in the code."""

import ast
import functools
import importlib.util
import inspect
import re
from pathlib import Path

import pytest
from mmpretrain.models import VisionTransformer

from mixpro_mm.augments import MixPro
from mixpro_mm.evaluation.occlusion import OcclusionTestLoop
from mixpro_mm.labeling import ProgressiveAttentionLabeling
from tests.docs.pages import DOCS, FENCE, ROOT, pages
from tests.test_layers import LAYERS, TOP

ENTRY = re.compile(r'^- \*\*`+(?P<message>.+?)`+\*\*(?: \((?P<file>\S+\.py)\))?:', re.MULTILINE)
ENTRIES = [match.groups() for match in ENTRY.finditer((DOCS / 'troubleshooting.md').read_text(encoding='utf-8'))]


@functools.cache
def source(*paths: Path) -> str:
    """Return the code with adjacent strings joined in one line."""
    text = '\n'.join(path.read_text(encoding='utf-8') for path in paths)
    return re.sub(r"""(['"])\s*\n\s*[rf]*['"]""", '', text)


@pytest.mark.parametrize(('message', 'file'), ENTRIES, ids=[message[:50] for message, _ in ENTRIES])
def test_troubleshooting_quotes_messages_of_the_code(message, file):
    paths = sorted((ROOT / 'mixpro_mm').rglob('*.py'))
    if file:  # a message of a toolkit
        package = importlib.util.find_spec(file.split('/')[0])
        paths = [Path(package.submodule_search_locations[0]).parent / file]
    parts = [re.escape(part.strip()) for part in message.split('...')]
    assert re.search('.*'.join(parts), source(*paths)), message


def test_troubleshooting_has_its_entries():
    assert len(ENTRIES) > 40 and len({message for message, _ in ENTRIES}) == len(ENTRIES)
    assert min(max(map(len, message.split('...'))) for message, _ in ENTRIES) >= 8


def test_switches_of_the_protocol_notes_exist():
    text = (DOCS / 'protocol.md').read_text(encoding='utf-8')
    known = {}
    for each in (VisionTransformer, MixPro, ProgressiveAttentionLabeling, OcclusionTestLoop):
        known |= inspect.signature(each).parameters
    settings = {name: ast.literal_eval(value) for name, value in re.findall(r'`(\w+)=(\S+)`', text)}
    assert len(settings) > 5
    assert [name for name, value in settings.items() if value == known[name].default] == []
    MixPro(**{name: settings[name] for name in ('rounding', 'partner', 'ratio')})


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings, as MyST and code hosts make them."""
    headings = re.findall(r'^#+ (.+)$', FENCE.sub('', page.read_text(encoding='utf-8')), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


@pytest.mark.parametrize('page', pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_and_paths_in_a_page_exist(page):
    """Links lead to files and headings, not to folders; files named as code exist."""
    text = page.read_text(encoding='utf-8')
    for target, anchor in re.findall(r'\]\((?!https?:|mailto:)([^)#\s]*)#?([^)\s]*)\)', FENCE.sub('', text)):
        path = page.parent / target if target else page
        assert path.is_file() and (not anchor or anchor in anchors(path)), f'{target}#{anchor}'
    tops = 'configs|tools|docs|tests|requirements|mixpro_mm'
    named = re.findall(rf'(?<![\w/.-])(?:{tops})/[\w./-]+\.(?:py|md|txt|sh|json)\b', text)
    assert [path for path in named if not (ROOT / path).is_file()] == []


def test_the_design_page_lists_the_layers_in_order():
    text = (DOCS / 'development' / 'design.md').read_text(encoding='utf-8')
    rows = re.findall(r'^\| (`.+?`) \|', text, re.MULTILINE)
    names = [name for row in rows for name in re.findall(r'`(\w+)`', row)]
    assert tuple(names) == TOP + LAYERS
