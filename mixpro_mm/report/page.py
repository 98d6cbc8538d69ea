"""Reports as a self-contained HTML page, as Markdown and as LaTeX.

A report is a list of blocks: ('title', text, date), ('heading', text), ('subheading', text), ('note', text),
('table', DataFrame of text) or ('figure', path of a PNG file, title, caption). Figures are in ``figures`` beside it.
"""

import base64
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from mixpro_mm.report.tables import markdown_table, markdown_text, numeric_columns
from mixpro_mm.utils.files import write_text

__all__ = ['render_html', 'render_latex', 'render_markdown', 'write_pages']

SIGNS = {
    '\\': r'\textbackslash{}', '~': r'\textasciitilde{}', '^': r'\textasciicircum{}', '<': '$<$', '>': '$>$',
    '|': '$|$', '\N{GREEK SMALL LETTER ALPHA}': r'$\alpha$', 'β': r'$\beta$', '±': r'$\pm$',
    '²': '$^2$', 'ᵇ': '$^b$', 'ᵐ': '$^m$', '₅': '$_5$', '₀': '$_0$', '₇': '$_7$',
}  # fmt: skip
LATEX = str.maketrans({sign: f'\\{sign}' for sign in '&%$#_{}'} | SIGNS)
DOCUMENT = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage{booktabs,graphicx}
\usepackage[margin=2cm,landscape]{geometry}
\begin{document}
\scriptsize
%s
\end{document}
"""


def write_pages(out_dir: Path, name: str, blocks: Sequence[tuple], latex: bool = False) -> list[Path]:
    """Write NAME.html, NAME.md and with ``latex`` NAME.tex to a folder; return their paths.

    All are rendered before the first is written, so an error keeps the previous report.
    """
    texts = {f'{name}.html': render_html(blocks), f'{name}.md': render_markdown(blocks)}
    texts |= {f'{name}.tex': render_latex(blocks)} if latex else {}
    out_dir.mkdir(parents=True, exist_ok=True)
    for file, text in texts.items():
        write_text(out_dir / file, text)
    return [out_dir / file for file in texts]


def render_html(blocks: Sequence[tuple]) -> str:
    """Render blocks as one HTML page without external files; the first block must be a title."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters['base64'] = lambda path: base64.b64encode(path.read_bytes()).decode()
    environment.filters['breakable'] = lambda text: Markup(re.sub(r'([/_])', r'\1<wbr>', str(escape(text))))
    environment.filters['numeric'] = numeric_columns
    return environment.get_template('page.html.j2').render(blocks=blocks)


def render_markdown(blocks: Sequence[tuple], folder: str = 'figures') -> str:
    """Render blocks as Markdown with pictures in ``folder``."""
    marks = {'title': '# {}', 'heading': '## {}', 'subheading': '### {}'}
    figure = f'![{{1}}]({folder}/{{0}})\n\n**{{1}}.** {{2}}'
    return _render(blocks, marks, markdown_text, markdown_table, figure) + '\n'


def render_latex(blocks: Sequence[tuple]) -> str:
    """Render blocks as a LaTeX document with booktabs; wide tables are scaled to the text width."""
    marks = {'title': r'\section*{{{}}}', 'heading': r'\section*{{{}}}', 'subheading': r'\subsection*{{{}}}'}
    figure = r'\noindent\includegraphics[width=\linewidth,height=.85\textheight,keepaspectratio]{{figures/{0}}}'
    figure += '\n\n{1}. {2}'
    return DOCUMENT % _render(blocks, marks, _latex, _latex_table, figure)


def _render(blocks: Sequence[tuple], marks: dict, escaped: Callable, table: Callable, figure: str) -> str:
    parts = []
    for kind, *content in blocks:
        if kind == 'table':
            parts.append(table(content[0]))
        elif kind == 'figure':
            parts.append(figure.format(content[0].name, *map(escaped, content[1:])))
        else:
            parts += [marks.get(kind, '{}').format(escaped(content[0])), *map(escaped, content[1:])]
    return '\n\n'.join(parts)


def _latex(text: str) -> str:
    return ' '.join(text.split()).translate(LATEX)


def _latex_table(frame: pd.DataFrame) -> str:
    kinds = ''.join('r' if i in numeric_columns(frame) else 'l' for i in range(frame.shape[1]))
    body = frame.map(_latex).rename(columns=_latex).to_latex(index=False, escape=False, column_format=kinds).strip()
    return f'\\noindent\\resizebox{{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}}{{!}}{{{body}}}'
