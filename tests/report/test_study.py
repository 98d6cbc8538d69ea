import base64
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from mixpro_mm.reporting import report, write_report

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
        (folder / '20240101_000000' / 'vis_data').mkdir(parents=True)
        lines = [
            {'loss': 2.0 / i, 'iter': i, 'step': i, 'epoch': i, 'factor': 0.5, 'lam_attn': 0.4, 'lam_area': 0.6}
            for i in (1, 2, 3)
        ]
        (folder / '20240101_000000' / 'vis_data' / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)))
        stages.append(
            dict(name=folder.name, task=task, backbone='DeiT-S', pretraining=pretraining, work_dir=folder, seconds=3725)
        )
    stages[-1]['seconds'] = None
    return dict(
        title='Digits <script>alert(1)</script> & more',
        date='2024-01-02',
        stages=stages,
        versions={'torch': '2.11.0'},
        settings={'data': 'embedded | digits'},
    )


@pytest.fixture
def records():
    row = dict(task='segmentation', backbone='DeiT-S', metric='mIoU', seed=7, checkpoint_sha256='0123456789abcdef' * 4)
    return [
        row | dict(pretraining='mixpro', value=41.2, config='configs/<mixpro>.py'),
        row | dict(pretraining='scratch', value=44.3, config='configs/scratch.py'),
    ]


@pytest.fixture
def picture(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (20, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'a strip.png')
    return dict(path=tmp_path / 'a strip.png', title='Mixed "images"', caption='Four <digits>.')


def test_html_is_whole_offline_and_escaped(tmp_path, study, records, picture):
    html_path, _ = write_report(tmp_path / 'out', study, records, [picture])
    html = html_path.read_text(encoding='utf-8')
    reader = Reader(html)
    assert 'script' not in reader.tags and 'Four <digits>.' in ''.join(reader.text)
    assert len(reader.references) == 5 and all(ref.startswith('data:image/png;base64,') for ref in reader.references)
    assert not re.search(r'url\(|@import|https?:', html)
    decoded = [base64.b64decode(ref.split(',')[1]) for ref in reader.references]
    assert decoded[1] == picture['path'].read_bytes()
    assert decoded[0] == (tmp_path / 'out' / 'figures' / 'results.png').read_bytes()


def test_both_files_carry_the_summary_and_the_origin(tmp_path, study, records):
    html_path, markdown_path = write_report(tmp_path / 'out', study, records)
    text = ''.join(Reader(html_path.read_text(encoding='utf-8')).text)
    markdown = markdown_path.read_text(encoding='utf-8')
    for content in (text, markdown):
        assert (
            '41.2 mIoU from the MixPro checkpoint, 44.3 from scratch (-3.1; one seed says nothing about chance).'
            in content
        )
        for origin in ('configs/scratch.py', '0123456789', '2.11.0', '2024-01-02', '1 h 02 min', '2 h 04 min'):
            assert origin in content
        assert 'single seed' in content and '0123456789a' not in content
    assert r'configs/\<mixpro\>.py' in markdown and r'embedded \| digits' in markdown


def test_published_numbers_are_shown_and_named_as_such(tmp_path, study, records):
    cited = [records[0] | {'published': 51.1}, records[1]]
    html_path, markdown_path = write_report(tmp_path / 'out', study, cited)
    markdown = markdown_path.read_text(encoding='utf-8')
    assert '| scratch | MixPro | MixPro, paper | MixPro, here - paper | MixPro - scratch |' in markdown
    assert '| 44.3 | 41.2 | 51.1 | -9.9 | -3.1 |' in markdown
    html = html_path.read_text(encoding='utf-8')
    assert '<td class="number">51.1</td><td class="number">-9.9</td>' in html
    for text in (markdown, ''.join(Reader(html).text)):
        assert 'is what was published, not measured here' in text and 'Hollow: in the paper.' in text
        assert 'In the paper: 51.1 for MixPro (9.9 lower here).' in text


def test_published_numbers_bring_a_table_for_each_task(tmp_path, study, records):
    other = records[0] | dict(task='classification', metric='top1', value=80.0, published=81.3, pretraining='official')
    _, markdown_path = write_report(tmp_path / 'out', study, [*records, other])
    markdown = markdown_path.read_text(encoding='utf-8')
    classification, segmentation = markdown.split('### Classification\n')[1].split('### Segmentation\n')
    assert '| backbone | metric | official | official, paper | official, here - paper |\n' in classification
    assert '| DeiT-S | top-1 | 80.0 | 81.3 | -1.3 |\n' in classification
    assert '| backbone | metric | scratch | MixPro | MixPro - scratch |\n' in segmentation.split('### ')[0]


def test_a_picture_that_could_not_be_drawn_is_a_line(tmp_path, study, records, picture):
    note = dict(note='mixed-a.png could not be drawn: OSError: <none>')
    html_path, markdown_path = write_report(tmp_path / 'out', study, records, [note, picture])
    shown = markdown_path.read_text(encoding='utf-8').split('## What it looks like')[1]
    assert shown.index(r'mixed-a.png could not be drawn: OSError: \<none\>') < shown.index('a-strip.png')
    assert note['note'] in ''.join(Reader(html_path.read_text(encoding='utf-8')).text)


def test_a_large_study_has_its_curves_in_several_figures(tmp_path, study, records):
    (log,) = study['stages'][0]['work_dir'].glob('*/vis_data/scalars.json')
    for i in range(6):
        folder = tmp_path / 'study' / f'more-{i}'
        (folder / 'one' / 'vis_data').mkdir(parents=True)
        (folder / 'one' / 'vis_data' / 'scalars.json').write_text(log.read_text())
        study['stages'].append(study['stages'][0] | dict(name=folder.name, backbone=f'net {i}', work_dir=folder))
    _, markdown_path = write_report(tmp_path / 'out', study, records)
    markdown = markdown_path.read_text(encoding='utf-8')
    assert re.findall(r'!\[(.*)\]\((.+)\)', markdown)[1:] == [
        ('Pre-training, 1 of 2', 'figures/pre-training.png'),
        ('Pre-training, 2 of 2', 'figures/pre-training-2.png'),
        ('Progressive attention labeling', 'figures/factor.png'),
        ('Transfer', 'figures/transfer.png'),
    ]
    assert 'Left: how far' not in markdown


def test_a_report_without_published_numbers_does_not_speak_of_a_paper(tmp_path, study, records):
    _, markdown_path = write_report(tmp_path / 'out', study | {'stages': []}, records)
    markdown = markdown_path.read_text(encoding='utf-8')
    assert 'paper' not in markdown and 'Hollow' not in markdown and '| 44.3 | 41.2 | -3.1 |' in markdown


def test_markdown_points_at_figures_that_exist_and_show_something(tmp_path, study, records, picture):
    _, markdown_path = write_report(tmp_path / 'out', study, records, [picture])
    names = re.findall(r'!\[.*\]\((.+)\)', markdown_path.read_text(encoding='utf-8'))
    assert names == [f'figures/{name}.png' for name in ('results', 'a-strip', 'pre-training', 'factor', 'transfer')]
    for name in names:
        with Image.open(tmp_path / 'out' / name) as image:
            assert image.format == 'PNG' and np.asarray(image.convert('L')).std() > 5


def test_study_without_logs_still_reports_its_numbers(tmp_path, study, records):
    html_path, _ = write_report(tmp_path / 'out', study | {'stages': []}, records)
    reader = Reader(html_path.read_text(encoding='utf-8'))
    assert reader.tags.count('img') == 1 and 'Training' not in reader.text


def test_a_failure_midway_leaves_the_previous_report(tmp_path, study, records, picture, monkeypatch):
    out = tmp_path / 'out'
    write_report(out, study, records, [picture])
    before = {file: file.read_bytes() for file in out.rglob('*') if file.is_file()}
    changed = [record | {'value': 1.0} for record in records]
    with monkeypatch.context() as patch, pytest.raises(OSError, match='disk full'):
        patch.setattr(report, 'render_html', lambda *_: (_ for _ in ()).throw(OSError('disk full')))
        write_report(out, study, changed, [picture])
    with pytest.raises(FileNotFoundError):
        write_report(out, study, changed, [picture | {'path': tmp_path / 'missing.png'}])
    assert {file: file.read_bytes() for file in out.rglob('*') if file.is_file()} == before
    assert sorted(file.name for file in out.iterdir()) == ['figures', 'report.html', 'report.md']


def test_pictures_already_among_the_figures_stay(tmp_path, study, records, picture):
    (tmp_path / 'out' / 'figures').mkdir(parents=True)
    inside = picture['path'].rename(tmp_path / 'out' / 'figures' / 'strip.png')
    pixels = inside.read_bytes()
    for _ in range(2):
        write_report(tmp_path / 'out', study, records, [picture | {'path': inside}])
    assert inside.read_bytes() == pixels
    assert sorted(file.name for file in inside.parent.iterdir()) == [
        'factor.png', 'pre-training.png', 'results.png', 'strip.png', 'transfer.png',
    ]  # fmt: skip


def test_a_picture_never_takes_the_place_of_a_figure(tmp_path, study, records, picture):
    other = picture['path'].rename(tmp_path / 'results.png')
    write_report(tmp_path / 'out', study, records, [picture | {'path': other}])
    assert (tmp_path / 'out' / 'figures' / 'other-results.png').read_bytes() == other.read_bytes()


def test_a_picture_that_is_no_png_is_refused(tmp_path, study, records, picture):
    Image.new('RGB', (4, 4)).save(tmp_path / 'a.jpg')
    with pytest.raises(ValueError, match=r'a\.jpg is JPEG, the report shows PNG files\.'):
        write_report(tmp_path / 'out', study, records, [picture | {'path': tmp_path / 'a.jpg'}])


def test_no_records_is_one_clear_sentence(tmp_path, study):
    with pytest.raises(ValueError, match='No results to report'):
        write_report(tmp_path / 'out', study, [])
    assert not (tmp_path / 'out').exists()
