"""Blocks of a report, ``(kind, ...)`` tuples, and what writes them as HTML, Markdown or LaTeX; all say the same.

=============== =====================================================================================================
kind            content
=============== =====================================================================================================
``title``       text, date
``heading``     text; ``subheading`` likewise, one level down
``note``        text of one paragraph
``list``        texts
``table``       header, rows of as many texts, numbers of the columns to align right (may be left out)
``figure``      path of a PNG file, title, caption; HTML takes the picture in, the others point at its folder
=============== =====================================================================================================
"""

import base64
import re
from collections.abc import Container
from html import escape
from pathlib import Path

from PIL import Image

from mixpro_mm.report.tables import html_table, markdown_table, markdown_text

__all__ = ['render_html', 'render_latex', 'render_markdown']

CSS = """
:root { color-scheme: light dark; --ink: #1d1f23; --soft: #5c6370; --line: #d9dce1; --paper: #ffffff; --band: #f5f6f8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e6ea; --soft: #a0a7b4; --line: #3a3f48; --paper: #16181c; --band: #1f2228; }
}
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 54rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.3rem; margin: 2.75rem 0 .75rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.75rem 0 .5rem; }
p.note, figcaption { color: var(--soft); font-size: .9rem; }
ul { padding-left: 1.25rem; } li { margin: .3rem 0; }
.scroll { overflow-x: auto; margin: 1rem 0; }
.wide { width: max-content; min-width: 100%; max-width: min(100vw - 3rem, 84rem); position: relative; left: 50%;
  transform: translateX(-50%); }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .55rem; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; }
th { background: var(--band); font-weight: 600; }
td.number, th.number { text-align: right; } td.number { white-space: nowrap; }
figure { margin: 1.75rem 0; } figure img { display: block; max-width: 100%; height: auto; margin: auto;
  background: #fff; border-radius: 6px; }
figcaption { margin-top: .5rem; } figcaption strong { color: var(--ink); }
@media print { body { max-width: none; padding: 0; } figure, tr { break-inside: avoid; } }
"""


def render_html(blocks: list[tuple], title: str) -> str:
    """One self-contained page, light or dark as the reader's system is; ``title`` is that of its window."""
    body = '\n'.join(_HTML[kind](*content) for kind, *content in blocks)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{escape(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n'
    )


def _html_table(header: list[str], rows: list[list[str]], numeric: Container[int] = ()) -> str:
    """Many numbers side by side may stand wider than the text; what still has no room is scrolled by itself."""
    wide = ' wide' if sum(i in numeric for i in range(len(header))) > 5 else ''
    return f'<div class="scroll{wide}">{html_table(header, rows, numeric)}</div>'


def _html_figure(path: Path, title: str, caption: str) -> str:
    with Image.open(path) as image:
        width, height = image.size
    data = base64.b64encode(path.read_bytes()).decode('ascii')
    return (
        f'<figure><img src="data:image/png;base64,{data}" width="{width}" height="{height}" alt="{escape(title)}">\n'
        f'<figcaption><strong>{escape(title)}.</strong> {escape(caption)}</figcaption></figure>'
    )


_HTML = {
    'title': lambda text, date: f'<h1>{escape(text)}</h1>\n<p class="note">{escape(date)}</p>',
    'heading': lambda text: f'<h2>{escape(text)}</h2>',
    'subheading': lambda text: f'<h3>{escape(text)}</h3>',
    'note': lambda text: f'<p class="note">{escape(text)}</p>',
    'list': lambda items: '<ul>\n' + '\n'.join(f'<li>{escape(item)}</li>' for item in items) + '\n</ul>',
    'table': _html_table,
    'figure': _html_figure,
}


def render_markdown(blocks: list[tuple], folder: str = 'figures') -> str:
    """The same blocks as Markdown, which finds its pictures in ``folder``."""
    parts = (_markdown_figure(folder, *content) if kind == 'figure' else _MARKDOWN[kind](*content)
             for kind, *content in blocks)  # fmt: skip
    return '\n\n'.join(parts) + '\n'


def _markdown_figure(folder: str, path: Path, title: str, caption: str) -> str:
    title = markdown_text(title)
    return f'![{title}]({folder}/{path.name})\n\n**{title}.** {markdown_text(caption)}'


_MARKDOWN = {
    'title': lambda text, date: f'# {markdown_text(text)}\n\n{markdown_text(date)}',
    'heading': lambda text: f'## {markdown_text(text)}',
    'subheading': lambda text: f'### {markdown_text(text)}',
    'note': markdown_text,
    'list': lambda items: '\n'.join(f'- {markdown_text(item)}' for item in items),
    'table': markdown_table,
}


def render_latex(blocks: list[tuple]) -> str:
    """The same blocks as a LaTeX document with booktabs; pictures are taken from ``figures``."""
    body = '\n\n'.join(_LATEX[kind](*content) for kind, *content in blocks)
    return f'{_PREAMBLE}\n\\begin{{document}}\n\n{body}\n\n\\end{{document}}\n'


_PREAMBLE = r"""\documentclass{article}
\usepackage[utf8]{inputenc}
\usepackage[T1]{fontenc}
\usepackage{amssymb,booktabs,graphicx}
\usepackage[margin=2cm]{geometry}"""
_SIGNS = {
    '\\': r'\textbackslash{}', '{': r'\{', '}': r'\}', '~': r'\textasciitilde{}', '^': r'\textasciicircum{}',
    **{sign: f'\\{sign}' for sign in '&%$#_'}, '<': r'$<$', '>': r'$>$', '|': r'$|$', '"': "''",
    '±': r'$\pm$', '\N{MULTIPLICATION SIGN}': r'$\times$', '✓': r'$\checkmark$',
    '\N{GREEK SMALL LETTER ALPHA}': r'$\alpha$', 'β': r'$\beta$', '²': '$^2$', 'ᵇ': '$^b$',
    'ᵐ': '$^m$', '₅₀': '$_{50}$', '₇₅': '$_{75}$',
}  # fmt: skip
_SIGN = re.compile('|'.join(map(re.escape, _SIGNS)))


def _latex_text(text: str) -> str:
    return _SIGN.sub(lambda found: _SIGNS[found[0]], ' '.join(text.split()))


def _latex_table(header: list[str], rows: list[list[str]], numeric: Container[int] = ()) -> str:
    """Wide tables shrink to the width of the page."""
    kinds = ''.join('r' if i in numeric else 'l' for i in range(len(header)))
    lines = [' & '.join(map(_latex_text, row)) + r' \\' for row in (header, *rows)]
    body = '\n'.join([r'\toprule', lines[0], r'\midrule', *lines[1:], r'\bottomrule'])
    return (
        f'\\begin{{center}}\n\\sbox0{{\\begin{{tabular}}{{{kinds}}}\n{body}\n\\end{{tabular}}}}%\n'
        '\\ifdim\\wd0>\\linewidth\\resizebox{\\linewidth}{!}{\\usebox0}\\else\\usebox0\\fi\n\\end{center}'
    )


def _latex_figure(path: Path, title: str, caption: str) -> str:
    return (
        f'\\begin{{center}}\n\\includegraphics[width=\\linewidth]{{figures/{path.name}}}\n\n'
        f'\\textbf{{{_latex_text(title)}.}} {_latex_text(caption)}\n\\end{{center}}'
    )


_BEGIN, _END = r'\begin{itemize}', r'\end{itemize}'
_LATEX = {
    'title': lambda text, date: f'\\section*{{\\LARGE {_latex_text(text)}}}\n\n{_latex_text(date)}',
    'heading': lambda text: f'\\section*{{{_latex_text(text)}}}',
    'subheading': lambda text: f'\\subsection*{{{_latex_text(text)}}}',
    'note': _latex_text,
    'list': lambda items: '\n'.join([_BEGIN, *(f'\\item {_latex_text(item)}' for item in items), _END]),
    'table': _latex_table,
    'figure': _latex_figure,
}  # fmt: skip
