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
  return {
    width: root.clientWidth, needs: Math.max(root.scrollWidth, page.body.scrollWidth),
    tables: [...page.querySelectorAll('table')].map(table => ({
      height: table.offsetHeight, reach: table.parentElement.scrollWidth - table.scrollWidth })),
    images: [...page.images].map(image => [image.complete, image.naturalWidth, image.clientWidth]),
    requests: frame.contentWindow.performance.getEntriesByType('resource').map(entry => entry.name),
  };
};
addEventListener('load', () => {
  document.getElementById('seen').textContent = JSON.stringify([...document.querySelectorAll('iframe')].map(look));
});
"""


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
    """Return what the page shows at each width, in frames because windows have a minimal width."""
    page, folder = html.escape(report[0].read_text('utf-8')), tmp_path_factory.mktemp('browser')
    frames = ''.join(
        f'<iframe style="border:0;width:{width}px;height:900px" srcdoc="{page}"></iframe>' for width in WIDTHS
    )
    outer = folder / 'outer.html'
    outer.write_text(
        f'<!DOCTYPE html><meta charset="utf-8">{frames}<pre id="seen"></pre><script>{LOOK}</script>', 'utf-8'
    )
    command = [
        BROWSER, '--headless=new', '--hide-scrollbars', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage',
        '--no-first-run', '--disable-background-networking', '--disable-component-update',
        '--host-resolver-rules=MAP * ~NOTFOUND', f'--user-data-dir={folder / "profile"}', '--window-size=1300,900',
        '--dump-dom', outer.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    found = re.search(r'<pre id="seen">(.+?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stdout[-2000:]
    return dict(zip(WIDTHS, json.loads(html.unescape(found[1])), strict=True))


@in_browser
@pytest.mark.parametrize('width', WIDTHS)
def test_a_reader_sees_every_table_and_picture(report, seen, width):
    tables = [part for part in report[1].read_text('utf-8').split('\n\n') if part.startswith('|')]
    assert len(seen[width]['tables']) == len(tables) >= 15  # 10 tables, 2 panels, Figure 3, results, sources
    for text, table in zip(tables, seen[width]['tables'], strict=True):
        assert table['height'] > 20 * (text.count('\n') - 1) and table['reach'] >= 0  # wide tables can be scrolled
    assert seen[width]['width'] == width and seen[width]['needs'] <= width
    ((complete, natural, shown),) = seen[width]['images']
    assert complete and natural > 500 and 300 < shown <= width
    assert [name for name in seen[width]['requests'] if not name.startswith('data:')] == []


def test_latex_has_every_number_and_only_plain_characters(report):
    text, markdown = report[2].read_text('utf-8'), report[1].read_text('utf-8')
    body = text.split(r'\begin{document}')[1]
    assert body.isascii() and r'a\_50\%\_\{x\} \& \textasciicircum{}\textasciitilde{}\textbackslash{} \#1' in body
    assert sorted(re.findall(r'\d+\.\d', markdown)) == sorted(re.findall(r'\d+\.\d', body))
    assert not re.search(r'(?<!\\)[#%]', body) and body.replace(r'\$', '').count('$') % 2 == 0


@pytest.mark.skipif(shutil.which('pdflatex') is None, reason='no LaTeX is installed')
def test_latex_compiles(report):
    command = ['pdflatex', '-interaction=nonstopmode', '-halt-on-error', report[2].name]
    done = subprocess.run(command, cwd=report[2].parent, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and report[2].with_suffix('.pdf').is_file(), done.stdout[-2000:]
