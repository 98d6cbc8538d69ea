"""The blocks of a report as one self-contained HTML page, as Markdown or as LaTeX.

=============== ======================================================================================
kind            content
=============== ======================================================================================
``title``       text, date
``heading``     text; ``subheading`` likewise, one level down
``note``        text of one paragraph
``table``       DataFrame of text
``figure``      path of a PNG file, title, caption; HTML embeds it, the others refer to its folder
=============== ======================================================================================
"""

import base64
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup, escape
from PIL import Image

from mixpro_mm.files import replacing, write_text
from mixpro_mm.report.tables import markdown_table, markdown_text, numeric_columns

__all__ = ['render_html', 'render_latex', 'render_markdown', 'write_pages']

# what pdflatex does not read, or reads as markup in pandas' escape
UNICODE = {
    'α': r'$\alpha$', 'β': r'$\beta$', '±': r'$\pm$', '×': r'$\times$', '✓': r'$\checkmark$', '²': '$^2$', 'ᵇ': '$^b$',
    'ᵐ': '$^m$', '₅₀': '$_{50}$', '₇₅': '$_{75}$', '<': '$<$', '>': '$>$',
}  # fmt: skip
PREAMBLE = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage{amssymb,booktabs,graphicx}
\usepackage[margin=2cm,landscape]{geometry}
\begin{document}
\scriptsize
"""


def write_pages(out_dir: Path, name: str, blocks: Sequence[tuple], title: str, figures: Path, latex: bool = False):
    """Write ``name.html``, ``name.md``, perhaps ``name.tex``, and the PNG files in ``figures``; returns the first paths.

    Everything is rendered before anything is written, so a failure leaves the previous report.
    """
    texts = {f'{name}.html': render_html(blocks, title), f'{name}.md': render_markdown(blocks)}
    texts |= {f'{name}.tex': render_latex(blocks)} if latex else {}
    pictures = sorted(figures.glob('*.png'))
    if pictures:
        (out_dir / 'figures').mkdir(exist_ok=True)
    for picture in pictures:
        with replacing(out_dir / 'figures' / picture.name) as temporary:
            temporary.write_bytes(picture.read_bytes())
    for file, text in texts.items():
        write_text(out_dir / file, text)
    return tuple(out_dir / file for file in texts)


def render_html(blocks: Sequence[tuple], title: str) -> str:
    """One page without external files, light or dark as the system of the reader."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(breakable=_breakable, picture=_picture, numeric=numeric_columns)
    return environment.get_template('page.html.j2').render(blocks=blocks, title=title)


def _breakable(text: str) -> Markup:
    """Long names may break after ``/`` and ``_``."""
    return Markup(re.sub(r'([/_])', r'\1<wbr>', str(escape(text))))


def _picture(path: Path) -> dict:
    with Image.open(path) as image:
        width, height = image.size
    return dict(data=base64.b64encode(path.read_bytes()).decode('ascii'), width=width, height=height)


def render_markdown(blocks: Sequence[tuple], folder: str = 'figures') -> str:
    """The same blocks as Markdown with pictures in ``folder``."""
    return '\n\n'.join(_MARKDOWN[kind](*content, folder=folder) for kind, *content in blocks) + '\n'


def _line(prefix: str = '') -> Callable:
    return lambda *texts, folder: prefix + '\n\n'.join(map(markdown_text, texts))


_MARKDOWN: dict[str, Callable] = {
    'title': _line('# '),
    'heading': _line('## '),
    'subheading': _line('### '),
    'note': _line(),
    'table': lambda frame, folder: markdown_table(frame.columns, frame.values, numeric_columns(frame)),
    'figure': lambda path, title, caption, folder: (
        f'![{markdown_text(title)}]({folder}/{path.name})\n\n**{markdown_text(title)}.** {markdown_text(caption)}'
    ),
}


def render_latex(blocks: Sequence[tuple]) -> str:
    """The same blocks as a LaTeX document with booktabs; a wide table shrinks to the width of the page."""
    body = '\n\n'.join(_LATEX[kind](*content) for kind, *content in blocks)
    for sign, code in UNICODE.items():
        body = body.replace(sign, code)
    return f'{PREAMBLE}\n{body}\n\n\\end{{document}}\n'


def _latex_text(text: str) -> str:
    """The text escaped by pandas, which offers this for tables only."""
    return pd.DataFrame([' '.join(text.split())]).to_latex(index=False, header=False, escape=True).splitlines()[2][:-3]


def _latex_table(frame: pd.DataFrame) -> str:
    numeric = numeric_columns(frame)
    kinds = ''.join('r' if i in numeric else 'l' for i in range(frame.shape[1]))
    body = frame.to_latex(index=False, escape=True, column_format=kinds)
    return f'\\noindent\\resizebox{{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}}{{!}}{{{body}}}'


_LATEX: dict[str, Callable] = {
    'title': lambda text, date: f'\\section*{{{_latex_text(text)}}}\n{_latex_text(date)}',
    'heading': lambda text: f'\\section*{{{_latex_text(text)}}}',
    'subheading': lambda text: f'\\subsection*{{{_latex_text(text)}}}',
    'note': _latex_text,
    'table': _latex_table,
    'figure': lambda path, title, caption: (
        f'\\noindent\\includegraphics[width=\\linewidth]{{figures/{path.name}}}\n\n{_latex_text(f"{title}. {caption}")}'
    ),
}
