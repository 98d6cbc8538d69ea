"""The site builds without a warning or a network, and generated pages are current."""

import importlib
import inspect
import os
import re
import subprocess
import sys

import pytest

from tests.docs.pages import DOCS, ROOT, load

GENERATE = load(DOCS / 'generate.py')
NO_NETWORK = dict.fromkeys(
    ('http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY'), 'http://127.0.0.1:9'
)


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    """Build the site; Sphinx warns about links without a target and pages outside the contents."""
    out = tmp_path_factory.mktemp('site')
    options = ['-W', '--keep-going', '-n', '-q', '-b', 'html', '-d', str(out / 'trees')]
    command = [sys.executable, '-m', 'sphinx', *options, str(DOCS), str(out / 'html')]
    done = subprocess.run(command, env=os.environ | NO_NETWORK, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {path.relative_to(out / 'html').as_posix(): path.read_text('utf-8') for path in out.rglob('html/**/*.html')}


@pytest.mark.long
def test_pages_load_nothing_from_elsewhere(site):
    loads = re.findall(r'<(?:script|img|link rel="stylesheet")[^>]*>', '\n'.join(site.values()))
    assert loads and not [load for load in loads if re.search(r'(?:src|href)="(?:\w+:)?//', load)]


@pytest.mark.long
def test_links_to_configs_open_a_page_with_the_file(site):
    page = 'files/configs/pretrain/deit-small_mixpro_8xb128_in1k.py.html'
    assert f'href="{page}"' in site['tables.html'] and 'Table 1, DeiT-S + MixPro' in site[page]


@pytest.mark.long
def test_every_public_name_is_in_the_reference(site):
    """Classes and functions in ``__all__`` of any module have an entry at one of their dotted names."""
    pages = [text for page, text in site.items() if page.startswith('generated/')]
    names, missing = set(re.findall(r' id="(\S+)"', '\n'.join(pages))), []
    for path in sorted((ROOT / 'mixpro_mm').rglob('*.py')):
        if '.mim' in path.parts or path.stem == '__main__':
            continue
        dotted = '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__')
        module = importlib.import_module(dotted)
        for name in getattr(module, '__all__', ()):
            each = getattr(module, name)
            if (inspect.isclass(each) or inspect.isfunction(each)) and inspect.getdoc(each):
                missing += [name] if not {f'{dotted}.{name}', f'{each.__module__}.{name}'} & names else []
    assert missing == []


def test_generated_pages_are_current():
    stale = [path.name for path, text in GENERATE.pages().items() if path.read_text(encoding='utf-8') != text]
    assert stale == [], 'run: python docs/generate.py'


def test_the_page_of_tables_has_every_cell_and_its_number():
    text = (DOCS / 'tables.md').read_text(encoding='utf-8')
    numbers = dict(re.findall(r'^\| ([^|]+) \| [^|]+ \| ([^|]+) \|$', text, re.MULTILINE))
    assert (numbers['segmenter_deit-small, MixPro'], numbers['2x']) == ('51.1, 51.6', 'drawn only')
    assert (numbers['PVT-L, TransMix'], numbers['PAL'], numbers['TransMix, AUPR']) == ('82.4', '26.2', '21.9')
    assert sorted(re.findall(r'\]\(\.\./configs/(\S+\.py)\) \|', text)) == sorted(GENERATE.PAPER['cells'].values())
