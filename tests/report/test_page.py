"""Tests of the page in a headless browser, and of LaTeX."""

import html
import json
import re
import shutil
import subprocess

import pytest

from mixpro_mm.report.paper_report import write_paper_report
from tests.report.made_up import occlusion, paper_records, study_record, write


def find_browser():
    """Return the first browser that runs; some systems have a stub that only says how to install one."""
    for name in ('chromium', 'google-chrome', 'google-chrome-stable', 'chromium-browser'):
        if shutil.which(name) and not subprocess.run([name, '--version'], capture_output=True).returncode:
            return name
    return None


BROWSER = find_browser()
in_browser = pytest.mark.skipif(BROWSER is None, reason='no Chromium or Chrome is installed; see .ci/browser')
WIDTHS = (390, 1200)
LOOK = """
const look = frame => {
  const page = frame.contentDocument, root = page.documentElement;
  const style = frame.contentWindow.getComputedStyle(page.body);
  return {
    width: root.clientWidth, needs: Math.max(root.scrollWidth, page.body.scrollWidth),
    tables: [...page.querySelectorAll('table')].map(table => ({
      rows: [...table.rows].map(row => [...row.cells].map(cell => cell.innerText)), height: table.offsetHeight,
      reach: table.parentElement.scrollWidth - table.scrollWidth })),
    titles: [...page.querySelectorAll('h3')].map(title => title.innerText),
    images: [...page.images].map(image => [image.complete, image.naturalWidth, image.clientWidth]),
    requests: frame.contentWindow.performance.getEntriesByType('resource').map(entry => entry.name),
    colors: [style.color, style.backgroundColor],
  };
};
addEventListener('load', () => {
  document.getElementById('seen').textContent = JSON.stringify([...document.querySelectorAll('iframe')].map(look));
});
"""


def see(page, folder, dark=False):
    """Return what a page shows at each width, in frames because windows have a minimal width."""
    frames = ''.join(
        f'<iframe style="border:0;width:{width}px;height:900px" srcdoc="{html.escape(page)}"></iframe>'
        for width in WIDTHS
    )
    outer = folder / 'outer.html'
    outer.write_text(
        f'<!DOCTYPE html><meta charset="utf-8">{frames}<pre id="seen"></pre><script>{LOOK}</script>', 'utf-8'
    )
    scheme = '--blink-settings=preferredColorScheme=0' if dark else '--blink-settings=preferredColorScheme=1'
    command = [
        BROWSER, '--headless=new', '--hide-scrollbars', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage',
        '--no-first-run', '--disable-background-networking', '--disable-component-update',
        '--host-resolver-rules=MAP * ~NOTFOUND', f'--user-data-dir={folder / "profile"}', '--window-size=1300,900',
        scheme, '--dump-dom', outer.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    found = re.search(r'<pre id="seen">(.+?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stdout[-2000:]
    return dict(zip(WIDTHS, json.loads(html.unescape(found[1])), strict=True))


@pytest.fixture(scope='module')
def report(tmp_path_factory):
    """Write a report with all tables, a picture and several seeds, which make cells wide."""
    folder = tmp_path_factory.mktemp('report')
    digits = [
        study_record(pretraining=name, value=value, metric='a_50%_{x} & ^~\\ #1')
        for name, value in (('none', 96.1), ('mixpro', 97.2))
    ]
    write(folder / 'in' / 'results.json', [*paper_records(0.25, seed=0), *paper_records(-0.5, seed=1), *digits])
    write(folder / 'in' / 'occlusion.json', occlusion('configs/robustness/deit-small_occlusion_in1k.py'))
    return write_paper_report([folder / 'in'], folder / 'out', latex=True)


@pytest.fixture(scope='module')
def seen(report, tmp_path_factory):
    return see(report[0].read_text('utf-8'), tmp_path_factory.mktemp('light'))


@in_browser
@pytest.mark.parametrize('width', WIDTHS)
def test_a_reader_sees_every_table_and_picture(report, seen, width):
    markdown = report[1].read_text('utf-8')
    tables = [part for part in markdown.split('\n\n') if part.startswith('|')]
    assert len(seen[width]['tables']) == len(tables) >= 16  # 10 tables, 2 panels, Figure 3, results, runs, sources
    for text, table in zip(tables, seen[width]['tables'], strict=True):
        lines = [re.split(r'(?<!\\) ?\| ?', line)[1:-1] for line in text.splitlines()]
        lines = [[re.sub(r'\\(.)', r'\1', cell) for cell in line] for line in (lines[0], *lines[2:])]
        assert table['rows'] == lines and table['height'] > 20 * len(lines)
        assert table['reach'] >= 0  # wide tables can be scrolled
    titles = [re.sub(r'\\(.)', r'\1', title) for title in re.findall(r'^### (.+)$', markdown, re.MULTILINE)]
    assert seen[width]['titles'] == titles
    assert seen[width]['width'] == width and seen[width]['needs'] <= width
    ((complete, natural, shown),) = seen[width]['images']
    assert complete and natural > 500 and 300 < shown <= width
    assert [name for name in seen[width]['requests'] if not name.startswith('data:')] == []


def luminance(color):
    """Return the relative luminance of 'rgb(r, g, b)', https://www.w3.org/TR/WCAG21/#dfn-relative-luminance."""
    parts = [int(part) / 255 for part in re.findall(r'\d+', color)[:3]]
    parts = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))


@in_browser
def test_light_and_dark_are_both_readable(report, seen, tmp_path):
    dark = see(report[0].read_text('utf-8'), tmp_path, dark=True)[1200]['colors']
    (ink, paper), (dark_ink, dark_paper) = (map(luminance, colors) for colors in (seen[1200]['colors'], dark))
    assert paper > 0.9 and dark_paper < 0.05
    assert (paper + 0.05) / (ink + 0.05) > 7 and (dark_ink + 0.05) / (dark_paper + 0.05) > 7


def test_latex_has_every_number_and_only_plain_characters(report):
    text, markdown = report[2].read_text('utf-8'), report[1].read_text('utf-8')
    body = text.split(r'\begin{document}')[1]
    assert body.isascii() and r'a\_50\%\_\{x\} \& \textasciicircum{}\textasciitilde{}\textbackslash{} \#1' in body
    assert sorted(re.findall(r'\d+\.\d', markdown)) == sorted(re.findall(r'\d+\.\d', body))
    assert not re.search(r'(?<!\\)[#%]', body) and body.replace(r'\$', '').count('$') % 2 == 0


@pytest.mark.long
@pytest.mark.skipif(shutil.which('pdflatex') is None, reason='no LaTeX is installed')
def test_latex_compiles(report):
    command = ['pdflatex', '-interaction=nonstopmode', '-halt-on-error', report[2].name]
    done = subprocess.run(command, cwd=report[2].parent, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and report[2].with_suffix('.pdf').is_file(), done.stdout[-2000:]
