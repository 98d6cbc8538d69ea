"""The site builds without a warning or a network, every link resolves, and generated pages are current."""

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

GENERATE = load(DOCS / 'generate.py')
NO_NETWORK = dict.fromkeys(
    ('http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY'), 'http://127.0.0.1:9'
)


class Page(html.parser.HTMLParser):
    """Links of a page, anchors in it, and resources that a browser loads."""

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
    """Return relative links to a missing file or anchor."""
    found = []
    for path, page in pages.items():
        for link in page.links + page.loads:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            lost = target in pages and parts.fragment and unquote(parts.fragment) not in pages[target].names
            if lost or not target.is_file():
                found.append(f'{path.name}: {link}')
    return found


def test_broken_links_are_found(tmp_path):
    first, second = tmp_path / 'a.html', tmp_path / 'b.html'
    first.write_text('<p id="x"></p><a href="b.html#y">1</a><a href="b.html#no">2</a><a href="no.html">3</a>')
    second.write_text(
        '<p id="y"></p><a href="a.html#x">1</a><a href="#no">2</a><img src="no.png"><a href="mailto:x">3</a>'
    )
    pages = {path: Page(path) for path in (first, second)}
    assert broken(pages) == ['a.html: b.html#no', 'a.html: no.html', 'b.html: #no', 'b.html: no.png']


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    """Pages of the built site, path -> Page."""
    out = tmp_path_factory.mktemp('site')
    options = ['-W', '--keep-going', '-n', '-q', '-b', 'html', '-d', str(out / 'trees')]
    command = [sys.executable, '-m', 'sphinx', *options, str(DOCS), str(out / 'html')]
    done = subprocess.run(command, env=os.environ | NO_NETWORK, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    root = (out / 'html').resolve()
    return {path.relative_to(root).as_posix(): path for path in root.rglob('*.html') if '_static' not in path.parts}


@pytest.mark.long
def test_every_link_of_the_site_resolves(site):
    pages = {path: Page(path) for path in site.values()}
    assert broken(pages) == []
    assert not [load for page in pages.values() for load in page.loads if urlsplit(load).netloc]
    index = {
        (site['index.html'].parent / unquote(urlsplit(link).path)).resolve() for link in pages[site['index.html']].links
    }
    assert {site[f'{path.stem}.html'] for path in DOCS.glob('*.md')} <= index


@pytest.mark.long
def test_every_public_name_is_in_the_reference(site):
    """Classes and functions in ``__all__`` of any module have an entry at one of their dotted names."""
    names = set().union(*(Page(path).names for name, path in site.items() if name.startswith('generated/')))
    missing = []
    for path in sorted((ROOT / 'mixpro_mm').rglob('*.py')):
        if '.mim' in path.parts or path.stem == '__main__':
            continue
        dotted = '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__')
        module = importlib.import_module(dotted)
        for name in getattr(module, '__all__', ()):
            each = getattr(module, name)
            entries = {f'{dotted}.{name}', f'{getattr(each, "__module__", "")}.{name}'}
            documented = (inspect.isclass(each) or inspect.isfunction(each)) and inspect.getdoc(each)
            if documented and not entries & names:
                missing.append(f'{dotted}.{name}')
    assert missing == []


def test_generated_pages_are_current():
    stale = [path.name for path, text in GENERATE.pages().items() if path.read_text(encoding='utf-8') != text]
    assert stale == [], 'run: python docs/generate.py'


def test_the_page_of_tables_has_every_cell_and_its_number():
    text = (DOCS / 'tables.md').read_text(encoding='utf-8')
    rows = [line.strip('| ').split(' | ') for line in text.splitlines() if line.startswith('| ')]
    numbers = {row[0]: row[2] for row in rows}
    assert numbers['segmenter_deit-small, MixPro'] == '51.1, 51.6'
    assert (numbers['PVT-L, TransMix'], numbers['PAL'], numbers['2x']) == ('82.4', '26.2', 'drawn only')
    assert (numbers['block, DeiT-T'], numbers['TransMix, AUPR']) == ('72.7', '21.9')
    linked = re.findall(r'\]\(\.\./configs/(\S+\.py)\) \|', text)
    assert sorted(linked) == sorted(GENERATE.PAPER['cells'].values())
