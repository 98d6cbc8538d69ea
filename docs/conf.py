"""Sphinx configuration: ``sphinx-build -W --keep-going -n -b html docs OUT`` builds the site without a network."""

import re
import subprocess
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.util.osutil import relative_uri

ROOT = Path(__file__).resolve().parents[1]
VERSION = {}
SHOWN = {}  # pages of Python files that other pages link to
exec((ROOT / 'mixpro_mm' / 'version.py').read_text(encoding='utf-8'), VERSION)

project = 'mixpro_mm'
author = 'The mixpro_mm authors'
copyright = '2026, the mixpro_mm authors'
version = release = VERSION['__version__']

extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.autosummary',
    'sphinx.ext.napoleon',
    'sphinx_copybutton',
]
exclude_patterns = ['examples', 'images', '_templates', 'benchmarks']
templates_path = ['_templates']
source_suffix = {'.md': 'markdown', '.rst': 'restructuredtext'}  # the latter: pages of the reference

# pages
myst_heading_anchors = 4  # headings can be linked as on a code host
myst_enable_extensions = ['dollarmath']
myst_url_schemes = ['http', 'https']

# the reference, from docstrings
autodoc_default_options = {'show-inheritance': True}
autodoc_member_order = 'bysource'
autodoc_typehints = 'signature'
napoleon_use_ivar = True
napoleon_use_rtype = False
python_maximum_signature_line_length = 88
nitpick_ignore_regex = [
    ('py:.*', r'(?!mixpro_mm\b).*'),  # types of other libraries; no inventory is downloaded
    ('py:class', r'mixpro_mm\..*\._\w+'),  # private bases of public classes
]

html_theme = 'furo'
html_title = f'mixpro_mm {release}'
html_copy_source = False
html_show_sourcelink = False


def repository() -> str:
    """Return the web address of the git remote ``origin``, or ''."""
    command = ['git', '-C', str(ROOT), 'config', '--get', 'remote.origin.url']
    address = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    found = re.fullmatch(r'(?:https://|(?:ssh://)?git@)([\w.-]+)[:/](.+?)(?:\.git)?', address)
    return 'https://{}/{}'.format(*found.groups()) if found else ''


if address := repository():
    html_theme_options = {'footer_icons': [dict(name='Repository', url=address, html='Repository', **{'class': ''})]}


def spare_stars(app, what, name, thing, options, lines: list[str]) -> None:
    """Escape ``**kwargs`` in a list of arguments, which is not bold text."""
    lines[:] = [line.replace(', **', r', \*\*') for line in lines]


def skip_fields(app, what, name, thing, skip, options) -> bool | None:
    """Skip fields of a named tuple without a docstring."""
    return True if str(getattr(thing, '__doc__', '')).startswith('Alias for field number') else None


def show_files(app, doctree, docname: str) -> None:
    """Let links to Python files (configs, examples) open a page with the file instead of a download."""
    for node in list(doctree.findall(addnodes.download_reference)):
        path = (Path(app.srcdir, docname).parent / node['reftarget']).resolve()
        if path.suffix == '.py' and path.is_relative_to(ROOT):
            page = f'files/{path.relative_to(ROOT).as_posix()}'
            SHOWN[page] = path
            uri = relative_uri(app.builder.get_target_uri(docname), app.builder.get_target_uri(page))
            node.replace_self(nodes.reference('', '', *node.children, refuri=uri, internal=True))


def file_pages(app):
    """Yield a page for each of these files."""
    for page, path in SHOWN.items():
        name, code = page.removeprefix('files/'), path.read_text(encoding='utf-8')
        body = f'<h1>{escape(name)}</h1>\n{app.builder.highlighter.highlight_block(code, "python")}'
        yield page, dict(title=name, body=body), 'page.html'


def setup(app) -> None:
    app.connect('autodoc-skip-member', skip_fields)
    app.connect('doctree-resolved', show_files)
    app.connect('html-collect-pages', file_pages)
    app.connect('autodoc-process-docstring', spare_stars, priority=400)  # before napoleon
