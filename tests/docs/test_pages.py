"""What pages claim about the code: sentences that it says, settings that it has, paths that exist."""

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

HEADING = re.compile(r'^### `(?P<sentence>.+)`(?: \((?P<file>\S+\.py)\))?$', re.MULTILINE)
GAP = '\0'
ENTRIES = [match.groups() for match in HEADING.finditer((DOCS / 'troubleshooting.md').read_text(encoding='utf-8'))]


def spoken(node: ast.AST) -> str | None:
    """The text of a string or f-string, with a gap for each value."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return ''.join(part.value if isinstance(part, ast.Constant) else GAP for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = spoken(node.left), spoken(node.right)
        return (GAP if left is None else left) + (GAP if right is None else right)
    return None


@functools.cache
def sentences(*paths: Path) -> tuple[str, ...]:
    trees = (ast.parse(path.read_text(encoding='utf-8')) for path in paths)
    return tuple(text for tree in trees for node in ast.walk(tree) if (text := spoken(node)))


def says(text: str, sentence: str) -> bool:
    """Whether the parts of a sentence between its dots follow each other in one string; a part holds no value."""
    at = 0
    for part in filter(None, (part.strip() for part in sentence.split('...'))):
        place = text.find(part, at)
        if place < 0:
            return False
        at = place + len(part)
    return True


def test_a_sentence_is_found_with_its_values_left_out():
    (text, *_) = sentences.__wrapped__(write('raise ValueError(f"size {a} of {b} " f"is no {c}")'))
    assert says(text, 'size ... of ... is no ...') and says(text, '... is no ...')
    assert not says(text, 'is no ... size') and not says(text, 'size ... of ... is a')
    assert not says(text, 'size a of')


def write(source: str):
    class Source:
        def read_text(self, encoding):
            return source

    return Source()


@pytest.mark.parametrize(('sentence', 'file'), ENTRIES, ids=[sentence[:50] for sentence, _ in ENTRIES])
def test_troubleshooting_quotes_what_is_said(sentence, file):
    """Sentences of ours are in the package; those of a toolkit in the file named beside them, where it is installed."""
    if file is None:
        paths = sorted((ROOT / 'mixpro_mm').rglob('*.py'))
    else:
        package = importlib.util.find_spec(file.split('/')[0])
        paths = [Path(package.submodule_search_locations[0]).parent / file]
    assert any(says(text, sentence) for text in sentences(*paths))


def test_troubleshooting_has_its_entries():
    assert len(ENTRIES) > 40 and sum(file is not None for _, file in ENTRIES) > 5
    assert len({sentence for sentence, _ in ENTRIES}) == len(ENTRIES)
    longest = [max(map(len, sentence.split('...'))) for sentence, _ in ENTRIES]
    assert min(longest) >= 10  # enough words to find it by


def test_switches_of_the_protocol_notes_exist():
    text = (DOCS / 'protocol.md').read_text(encoding='utf-8')
    known = {}
    for thing in (VisionTransformer, MixPro, ProgressiveAttentionLabeling, OcclusionTestLoop):
        known |= inspect.signature(thing).parameters
    settings = re.findall(r'`(\w+)=(\S+)`', text)
    assert len(settings) > 5
    for name, value in settings:
        assert name in known, name
        assert repr(ast.literal_eval(value)) != repr(known[name].default), f'{name}={value} is the default'
    MixPro(**{name: ast.literal_eval(value) for name, value in settings if name in ('rounding', 'partner', 'ratio')})


@pytest.mark.parametrize('page', pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_paths_in_a_page_exist(page):
    """Files of the repository that a page names, as a link or as code, are there; links do not lead to folders."""
    text = page.read_text(encoding='utf-8')
    links = re.findall(r'\]\((?!https?:|#|mailto:)([^)#\s]+)', FENCE.sub('', text))
    assert [link for link in links if not (page.parent / link).is_file()] == []
    tops = '|'.join(('configs', 'tools', 'docs', 'tests', 'requirements', 'mixpro_mm'))
    named = re.findall(rf'(?<![\w/.-])(?:{tops})/[\w./-]+\.(?:py|md|txt|sh|json)\b', text)
    assert [path for path in named if not (ROOT / path).is_file()] == []


def test_the_example_of_a_method_is_short():
    assert len((DOCS / 'examples' / 'own_method.py').read_text(encoding='utf-8').splitlines()) <= 40


def test_the_design_page_has_every_room_on_its_floor():
    """The picture of the house against the floors that the imports are held to."""
    floors = ast.parse((ROOT / 'tests' / 'test_floors.py').read_text(encoding='utf-8'))
    (table,) = (
        node.value for node in floors.body if getattr(getattr(node, 'targets', [None])[0], 'id', '') == 'FLOORS'
    )
    floor_of = {name.removeprefix('mixpro_mm.'): floor for name, floor in ast.literal_eval(table).items()}
    picture = re.search(
        r'## The house\n+```text\n(.*?)```', (DOCS / 'design.md').read_text(encoding='utf-8'), re.DOTALL
    )[1]
    drawn, floor = {}, None
    for line in picture.splitlines():
        floor = int(line[:4]) if line[:4].strip() else floor
        drawn |= dict.fromkeys(re.findall(r'[a-z_]+(?:\.[a-z_]+)?', line[4:31]), floor)
    assert len(drawn) > 15
    assert {room: floor_of.get(room) for room in drawn} == drawn
    inner = {name for name in floor_of if (ROOT / 'mixpro_mm' / name.split('.')[0]).is_dir()}
    left_out = {name for name in inner - set(drawn) if not any(name == room.split('.')[0] for room in drawn)}
    assert left_out == set()
