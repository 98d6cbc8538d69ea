"""Sphinx configuration: ``sphinx-build -W --keep-going -n -b html docs OUT`` builds the site without a network.

MyST copies files outside docs that a page links to (``../configs/...``) into the site; it cannot copy folders.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VERSION = {}
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


def spare_stars(app, what, name, thing, options, lines: list[str]) -> None:
    """Escape ``**kwargs`` in a list of arguments, which is not bold text."""
    lines[:] = [line.replace(', **', r', \*\*') for line in lines]


def skip_fields(app, what, name, thing, skip, options) -> bool | None:
    """Skip fields of a named tuple without a docstring."""
    return True if str(getattr(thing, '__doc__', '')).startswith('Alias for field number') else None


def setup(app) -> None:
    app.connect('autodoc-skip-member', skip_fields)
    app.connect('autodoc-process-docstring', spare_stars, priority=400)  # before napoleon
