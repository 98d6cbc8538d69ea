"""README, contributors' files and docs with their fenced code blocks."""

import importlib.util
import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / 'docs'
FENCE = re.compile(r'^(?P<ticks>`{3,}) *(?P<language>\S*)[^\n]*\n(?P<text>.*?)^(?P=ticks) *$', re.MULTILINE | re.DOTALL)
MARK = re.compile(r'<!-- *(?P<kind>needs|test): *(?P<words>[^>]+?) *-->\s*\Z')


class Block(NamedTuple):
    """A fenced block and the comment right before it: ('needs' | 'test', words), or None."""

    page: Path
    line: int
    language: str
    text: str
    mark: tuple[str, str] | None

    @property
    def place(self) -> str:
        return f'{self.page.relative_to(ROOT)}:{self.line}'


def pages() -> list[Path]:
    top = [ROOT / name for name in ('README.md', 'CONTRIBUTING.md', 'CHANGELOG.md')]
    return [*top, *sorted(DOCS.rglob('*.md'))]


def blocks_of(page: Path) -> list[Block]:
    text, found = page.read_text(encoding='utf-8'), []
    for match in FENCE.finditer(text):
        mark = MARK.search(text[: match.start()])
        words = (mark['kind'], ' '.join(mark['words'].split())) if mark else None
        line = text.count('\n', 0, match.start()) + 1
        found.append(Block(page, line, match['language'], match['text'], words))
    return found


def all_blocks(*languages: str) -> list[Block]:
    return [block for page in pages() for block in blocks_of(page) if block.language in languages]


def commands_of(block: Block) -> list[str]:
    """Return the shell commands of a block without comments; a backslash continues a line."""
    lines = re.sub(r'\s*\\\n\s*', ' ', block.text).splitlines()
    return [line for line in (re.sub(r'(^|\s)#.*', '', line).strip() for line in lines) if line]


def load(path: Path):
    """Import a script as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
