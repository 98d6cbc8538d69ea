"""The site: built without a warning and without a network, and every link in it leads somewhere."""

import html.parser
import importlib
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs.pages import DOCS, ROOT, load

generate = load(DOCS / 'generate.py')

NO_WAY_OUT = dict.fromkeys(
    ('http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY'), 'http://127.0.0.1:9'
)


@pytest.fixture(scope='module')
def build(tmp_path_factory):
    """The folder of the built site, and how the build went."""
    out = tmp_path_factory.mktemp('site')
    options = ['-W', '--keep-going', '-n', '-b', 'html', '-d', str(out / 'trees')]
    command = [sys.executable, '-m', 'sphinx', *options, str(DOCS), str(out / 'html')]
    done = subprocess.run(command, env=os.environ | NO_WAY_OUT, capture_output=True, text=True)
    assert (out / 'html' / 'index.html').exists(), done.stderr
    return out / 'html', done


@pytest.fixture
def site(build):
    return build[0]


def test_it_is_built_without_a_warning(build):
    _, done = build
    assert (done.returncode, done.stderr) == (0, '')


class Page(html.parser.HTMLParser):
    """Links, names that links can lead to, and what a browser loads of a page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.names, self.loads = [], set(), []
        self.feed(path.read_text(encoding='utf-8'))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.names |= {value for key, value in attrs.items() if key == 'id' or (tag == 'a' and key == 'name')}
        for key in ('href', 'src'):
            if attrs.get(key):
                loaded = key == 'src' or (tag == 'link' and attrs.get('rel') in ('stylesheet', 'icon'))
                (self.loads if loaded else self.links).append(attrs[key])


def broken(pages: dict[Path, Page]) -> list[str]:
    """Links, relative ones, that lead to no file or to no name in it."""
    found = []
    for path, page in pages.items():
        for link in page.links + page.loads:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            known = pages[target].names if target in pages else None
            if not target.is_file() or (parts.fragment and known is not None and unquote(parts.fragment) not in known):
                found.append(f'{path.name}: {link}')
    return found


def test_every_link_leads_somewhere(site):
    pages = {path.resolve(): Page(path) for path in site.rglob('*.html') if '_static' not in path.parts}
    assert len(pages) > 30
    assert broken(pages) == []
    assert sum(len(page.links) for page in pages.values()) > 1000


def test_broken_links_are_found(tmp_path):
    first, second = tmp_path / 'a.html', tmp_path / 'b.html'
    first.write_text('<p id="x"></p><a href="b.html#y">1</a><a href="b.html#no">2</a><a href="no.html">3</a>')
    second.write_text(
        '<p id="y"></p><a href="a.html#x">1</a><a href="#no">2</a><img src="no.png"><a href="mailto:x">3</a>'
    )
    pages = {path: Page(path) for path in (first, second)}
    assert broken(pages) == ['a.html: b.html#no', 'a.html: no.html', 'b.html: #no', 'b.html: no.png']


def test_a_page_loads_nothing_from_elsewhere(site):
    loads = {load for path in site.rglob('*.html') for load in Page(path).loads}
    assert loads and not [load for load in loads if urlsplit(load).netloc]


def test_every_page_is_in_the_contents(site):
    index = Page(site / 'index.html')
    reached = {(site / unquote(urlsplit(link).path)).resolve() for link in index.links if not urlsplit(link).netloc}
    written = {(site / path.relative_to(DOCS)).with_suffix('.html').resolve() for path in DOCS.glob('*.md')}
    assert written <= reached | {(site / 'index.html').resolve()}


def test_files_of_the_repository_come_along(site):
    """A page links to a config of the checkout; the site has a copy of it, byte by byte."""
    links = [link for link in Page(site / 'tables.html').links if '_downloads' in link]
    copies = {Path(unquote(link)).name: (site / unquote(link)).read_bytes() for link in links}
    name = 'deit-small_mixpro_8xb128_in1k.py'
    assert copies[name] == (ROOT / 'configs' / 'pretrain' / name).read_bytes()
    assert len(copies) > 80


def test_every_public_name_is_in_the_reference(site):
    """What ``__all__`` of any module lists, if it is a class or function with a docstring, has its place."""
    names = set()
    for path in (site / 'api').glob('*.html'):
        names |= Page(path).names
    missing = []
    for path in sorted((ROOT / 'mixpro_mm').rglob('*.py')):
        if '.mim' in path.parts or path.stem == '__main__':
            continue
        module = importlib.import_module(generate.module_name(path))
        for name in generate.public(path):
            thing = getattr(module, name)
            if (inspect.isclass(thing) or inspect.isfunction(thing)) and inspect.getdoc(thing):
                parts = module.__name__.split('.')
                places = {'.'.join([*parts[:end], name]) for end in range(2, len(parts) + 1)} | {
                    f'{thing.__module__}.{name}'
                }
                if not places & names:
                    missing.append(f'{module.__name__}.{name}')
    assert missing == []


def test_generated_pages_are_those_of_the_code_and_configs():
    wanted = generate.pages()
    stale = [
        str(path.relative_to(ROOT)) for path, text in wanted.items() if not path.exists() or path.read_text() != text
    ]
    assert stale == [], 'run: python docs/generate.py'
    assert {*(DOCS / 'api').glob('*.md')} <= set(wanted)


def test_the_page_of_tables_has_every_cell_and_its_number():
    text = (DOCS / 'tables.md').read_text(encoding='utf-8')
    rows = [line.strip('| ').split(' | ') for line in text.splitlines() if line.startswith('| ')]
    numbers = {row[0]: row[2] for row in rows}
    assert numbers['segmenter_deit-small, MixPro'] == '51.1, 51.6'
    assert (numbers['PVT-L, TransMix'], numbers['PAL'], numbers['2x']) == ('82.4', '26.2', 'drawn only')
    assert (numbers['block, DeiT-T'], numbers['TransMix, AUPR']) == ('72.7', '21.9')
    linked = re.findall(r'\]\(\.\./configs/(\S+\.py)\) \|', text)
    assert sorted(linked) == sorted(generate.PAPER['cells'].values())
