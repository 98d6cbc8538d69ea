import base64
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from mixpro_mm.report import page
from mixpro_mm.report.study import write_report
from tests.report.made_up import study_record

VOID = {'meta', 'img', 'br', 'wbr', 'hr', 'link', 'input'}


class Reader(HTMLParser):
    """Checks that tags balance; collects text, images and references."""

    def __init__(self, html):
        super().__init__()
        self.open, self.text, self.tags, self.references = [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.references += [value for key, value in attrs if key in ('src', 'href', 'srcset', 'action', 'data')]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def study(tmp_path):
    stages = []
    for task, pretraining in (('classification', 'mixpro'), ('segmentation', 'mixpro'), ('segmentation', 'scratch')):
        folder = tmp_path / 'study' / f'{task}_{pretraining}'
        log = folder / '20240101_000000' / 'vis_data' / 'scalars.json'
        log.parent.mkdir(parents=True)
        lines = [
            {'loss': 2.0 / i, 'iter': i, 'step': i, 'epoch': i, 'factor': 0.5, 'lam_attn': 0.4, 'lam_area': 0.6}
            for i in (1, 2, 3)
        ]
        log.write_text('\n'.join(map(json.dumps, lines)))
        stages.append(
            dict(name=folder.name, task=task, backbone='DeiT-S', pretraining=pretraining, work_dir=folder, seconds=3720)
        )
    stages[-1]['seconds'] = None
    title, settings = 'Digits <script>alert(1)</script> & more', {'seed': 'embedded | digits'}
    return dict(title=title, date='2024-01-02', stages=stages, versions={'torch': '2.11.0'}, settings=settings)


@pytest.fixture
def records():
    row = dict(task='segmentation', backbone='DeiT-S', metric='mIoU', seed=7, checkpoint_sha256='0123456789abcdef' * 4)
    return [
        study_record('<mixpro>', **row, value=41.2, data='digits'),
        study_record('scratch', **row, value=44.3, pretraining='scratch', data='scenes'),
    ]


@pytest.fixture
def picture(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (20, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'a strip.png')
    return dict(path=tmp_path / 'a strip.png', title='Mixed "images"', caption='Four <digits>.')


def report(folder, *args):
    """Text of the page, its reader, and the Markdown."""
    html, markdown = write_report(folder, *args)
    assert (html.name, markdown.name) == ('report.html', 'report.md')
    reader = Reader(html.read_text(encoding='utf-8'))
    return ' '.join(''.join(reader.text).split()), reader, markdown.read_text(encoding='utf-8')


def test_html_is_whole_offline_and_escaped(tmp_path, study, records, picture):
    text, reader, _ = report(tmp_path / 'out', study, records, [picture])
    html = (tmp_path / 'out' / 'report.html').read_text(encoding='utf-8')
    assert 'script' not in reader.tags and 'Four <digits>.' in text and '<title>Digits &lt;script&gt;' in html
    assert len(reader.references) == 5 and all(ref.startswith('data:image/png;base64,') for ref in reader.references)
    assert not re.search(r'url\(|@import|https?:', html)
    decoded = [base64.b64decode(ref.split(',')[1]) for ref in reader.references]
    assert decoded[1] == picture['path'].read_bytes()
    assert decoded[0] == (tmp_path / 'out' / 'figures' / 'results.png').read_bytes()


def test_both_files_say_what_was_trained_and_where_the_numbers_are_from(tmp_path, study, records):
    text, _, markdown = report(tmp_path / 'out', study, records)
    sentence = (
        'DeiT-S was pre-trained with MixPro; DeiT-S was trained for segmentation from scratch and from MixPro, on '
        'digits and scenes.'
    )
    for content in (text, markdown):
        assert content.count(sentence) == 1 and content.count('single seed') == 1
        for part in ('configs/scratch.py', '0123456789', '2.11.0', '2024-01-02', '62.0', 'mIoU 41.2'):
            assert part in content
        assert 'Differences between methods' not in content and '0123456789a' not in content
    assert 'paper' not in markdown.replace('Figure 2a of the paper', '')
    assert '| DeiT-S | mIoU | 44.3 | 41.2 | -3.1 |' in markdown
    assert r'configs/\<mixpro\>.py' in markdown and r'embedded \| digits' in markdown


def test_several_seeds_are_compared_in_pairs(tmp_path, study, records):
    more = [
        record | dict(seed=seed, value=record['value'] + seed * gain)
        for seed, gain in ((8, 1), (9, 2))
        for record in records
    ]
    more[0]['value'] += 1
    text, _, markdown = report(tmp_path / 'out', study, [*records, *more])
    assert '## Differences between methods' in markdown and 'about 0.1 of these 1 intervals' in text
    assert re.search(r'\| mIoU \| MixPro - scratch \| -2\.77 ± 0\.58 \| -4\.20 to -1\.33 \| 3 \| 1\.43 \|', markdown)
    assert 'single seed' not in text and '(n=3)' in text


def test_published_numbers_are_shown_and_named_as_such(tmp_path, study, records):
    text, _, markdown = report(tmp_path / 'out', study, [records[0] | {'published': 51.1}, records[1]])
    assert (
        '| scratch | MixPro | MixPro, paper | MixPro - scratch |' in markdown
        and '| 44.3 | 41.2 | 51.1 | -3.1 |' in markdown
    )
    assert 'is the published number, not measured here' in text and 'Hollow: in the paper.' in text


def test_records_that_name_a_cell_stand_in_the_layout_of_the_paper(tmp_path, study, records):
    named = [
        study_record(pretraining=f'table10_{row}', value=value, table='table10', row=row, column='error', data='digits')
        for row, value in (('pal', 96.0), ('equal', 95.0))
    ]
    _, _, markdown = report(tmp_path / 'out', study, [*named, *records])
    table, rest = markdown.split('### Table 10 on digits')[1].split('### Segmentation')
    assert '| PAL (ours) | cosine distance | 4.0 |' in table and 'table10' not in table + rest.split('## How')[0]
    _, _, markdown = report(tmp_path / 'only', study | {'stages': []}, named)
    assert '| Equal weight | 0.5 | 5.0 |' in markdown and '![' not in markdown and 'single seed' in markdown


def test_figures_are_numbered_and_exist(tmp_path, study, records, picture):
    (log,) = study['stages'][0]['work_dir'].glob('*/vis_data/scalars.json')
    for i in range(12):
        folder = tmp_path / 'study' / f'more-{i}'
        (folder / 'one' / 'vis_data').mkdir(parents=True)
        (folder / 'one' / 'vis_data' / 'scalars.json').write_text(log.read_text())
        study['stages'].append(study['stages'][0] | dict(name=folder.name, backbone=f'net {i}', work_dir=folder))
    note = dict(note='mixed-a.png could not be drawn: OSError: <none>')
    text, _, markdown = report(tmp_path / 'out', study, records, [note, picture])
    found = re.findall(r'!\[(.*)\]\((.+)\)', markdown)
    numbered = [title for title, _ in found if title.startswith('Pre-training')]
    assert numbered == [f'Pre-training, {i + 1} of {len(numbered)}' for i in range(len(numbered))] and len(numbered) > 1
    assert {'Results at a glance', 'Mixed "images"', 'Transfer', 'Progressive attention labeling'} < {
        t for t, _ in found
    }
    for _, name in found:
        with Image.open(tmp_path / 'out' / name) as image:
            assert image.format == 'PNG' and np.asarray(image.convert('L')).std() > 5
    assert note['note'] in text and 'net 7, net 8 and 3 more were pre-trained with MixPro' in text


def test_study_without_logs_still_reports_its_numbers(tmp_path, study, records):
    text, reader, _ = report(tmp_path / 'out', study | {'stages': []}, records)
    assert reader.tags.count('img') == 1 and 'Training' not in text and 'trained' not in text


def test_a_failure_midway_leaves_the_previous_report(tmp_path, study, records, picture, monkeypatch):
    out = tmp_path / 'out'
    write_report(out, study, records, [picture])
    before = {file: file.read_bytes() for file in out.rglob('*') if file.is_file()}
    changed = [record | {'value': 1.0} for record in records]
    with monkeypatch.context() as patch, pytest.raises(OSError, match='disk full'):
        patch.setattr(page, 'render_markdown', lambda *_: (_ for _ in ()).throw(OSError('disk full')))
        write_report(out, study, changed, [picture])
    with pytest.raises(FileNotFoundError):
        write_report(out, study, changed, [picture | {'path': tmp_path / 'missing.png'}])
    assert {file: file.read_bytes() for file in out.rglob('*') if file.is_file()} == before
    assert sorted(file.name for file in out.iterdir()) == ['figures', 'report.html', 'report.md']


def test_pictures_keep_clear_of_figures(tmp_path, study, records, picture):
    """A picture that lies among the figures stays; one with the name of a figure gets another."""
    (tmp_path / 'out' / 'figures').mkdir(parents=True)
    inside = picture['path'].rename(tmp_path / 'out' / 'figures' / 'strip.png')
    other = tmp_path / 'results.png'
    other.write_bytes(pixels := inside.read_bytes())
    for _ in range(2):
        write_report(tmp_path / 'out', study, records, [picture | {'path': inside}, picture | {'path': other}])
    assert inside.read_bytes() == (inside.parent / 'other-results.png').read_bytes() == pixels
    assert sorted(file.name for file in inside.parent.iterdir()) == [
        'factor.png', 'other-results.png', 'pre-training.png', 'results.png', 'strip.png', 'transfer.png',
    ]  # fmt: skip


def test_what_is_no_report_is_refused(tmp_path, study, records, picture):
    with pytest.raises(ValueError, match='no results to report'):
        write_report(tmp_path / 'out', study, [])
    assert not (tmp_path / 'out').exists()
    Image.new('RGB', (4, 4)).save(tmp_path / 'a.jpg')
    with pytest.raises(ValueError, match=r'a\.jpg is JPEG'):
        write_report(tmp_path / 'out', study, records, [picture | {'path': tmp_path / 'a.jpg'}])
