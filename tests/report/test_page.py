"""The page of the report in a real browser, headless and offline: .ci/browser installs one where it can."""

import html
import json
import re
import shutil
import subprocess

import pytest

from mixpro_mm.report.paper_report import write_paper_report
from tests.report.full_results import occlusion, paper_records, write


def find_browser():
    """The first that runs; some systems have a stand-in that only says how to install it."""
    for name in ('chromium', 'google-chrome', 'google-chrome-stable', 'chromium-browser'):
        if shutil.which(name) and not subprocess.run([name, '--version'], capture_output=True).returncode:
            return name
    return None


BROWSER = find_browser()
pytestmark = pytest.mark.skipif(BROWSER is None, reason='no Chromium or Chrome is installed; see .ci/browser')
WIDTHS = (400, 1200)
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
    """What a reader sees of a page at each width: it stands in frames, for windows have a least width."""
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
    """A report with every table and a picture; several seeds, so that cells are as wide as they get."""
    folder = tmp_path_factory.mktemp('report')
    micro = dict(task='classification', backbone='DeiT-micro', metric='top1', seed=0)
    digits = [
        micro | dict(pretraining=name, value=value, config=f'configs/digits/evidence/deit-micro_{name}_digits-8.py')
        for name, value in (('none', 96.1), ('mixpro', 97.2))
    ]
    write(folder / 'in' / 'results.json', [*paper_records(0.25, seed=0), *paper_records(-0.5, seed=1), *digits])
    write(folder / 'in' / 'occlusion.json', occlusion('configs/robustness/deit-small_occlusion_in1k.py'))
    page, markdown = write_paper_report([folder / 'in'], folder / 'out')
    return page.read_text(encoding='utf-8'), markdown.read_text(encoding='utf-8')


@pytest.fixture(scope='module')
def seen(report, tmp_path_factory):
    return see(report[0], tmp_path_factory.mktemp('light'))


@pytest.mark.parametrize('width', WIDTHS)
def test_every_table_is_there_with_its_numbers(report, seen, width):
    tables = [part for part in report[1].split('\n\n') if part.startswith('|')]
    assert len(seen[width]['tables']) == len(tables) == 15  # 10 tables, 2 panels, Figure 3, digits, where from
    for text, table in zip(tables, seen[width]['tables'], strict=True):
        lines = [re.split(r'(?<!\\) ?\| ?', line)[1:-1] for line in text.splitlines()]
        lines = [[re.sub(r'\\(.)', r'\1', cell) for cell in line] for line in (lines[0], *lines[2:])]
        assert table['rows'] == lines and table['height'] > 20 * len(lines)
    titles = [re.sub(r'\\(.)', r'\1', title) for title in re.findall(r'^### (.+)$', report[1], re.MULTILINE)]
    assert seen[width]['titles'] == titles


@pytest.mark.parametrize('width', WIDTHS)
def test_the_page_has_room_and_its_picture_shows(seen, width):
    assert seen[width]['width'] == width and seen[width]['needs'] <= width
    ((complete, natural, shown),) = seen[width]['images']
    assert complete and natural > 500 and 300 < shown <= width
    assert all(table['reach'] >= 0 for table in seen[width]['tables'])  # what has no room can be scrolled to


@pytest.mark.parametrize('width', WIDTHS)
def test_nothing_is_fetched(seen, width):
    assert [name for name in seen[width]['requests'] if not name.startswith('data:')] == []


def luminance(color):
    """Relative luminance of 'rgb(r, g, b)', https://www.w3.org/TR/WCAG21/#dfn-relative-luminance."""
    parts = [int(part) / 255 for part in re.findall(r'\d+', color)[:3]]
    parts = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))


def test_light_and_dark_are_both_readable(report, seen, tmp_path):
    ink, paper = map(luminance, seen[1200]['colors'])
    dark_ink, dark_paper = map(luminance, see(report[0], tmp_path, dark=True)[1200]['colors'])
    assert paper > 0.9 and dark_paper < 0.05
    assert (paper + 0.05) / (ink + 0.05) > 7 and (dark_ink + 0.05) / (dark_paper + 0.05) > 7


def test_the_browser_would_see_what_is_wrong(tmp_path):
    page = (
        '<!DOCTYPE html><body><div style="width:2000px">wide</div><img src="data:image/png;base64,AAAA">'
        '<img src="http://missing.invalid/x.png"><table><tr><td>1</td></tr></table>'
    )
    seen = see(page, tmp_path)[400]
    assert seen['needs'] >= 2000 and [image[1] for image in seen['images']] == [0, 0]
    assert 'http://missing.invalid/x.png' in seen['requests']
