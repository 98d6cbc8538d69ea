"""Tests of the report of a study."""

import base64
import html
import json
import re

import numpy as np
import pytest
from PIL import Image

from mixpro_mm.report.study import write_report
from tests.report.made_up import cells, study_record


@pytest.fixture
def study(tmp_path):
    stages = []
    for task, pretraining in (('classification', 'mixpro'), ('segmentation', 'mixpro'), ('segmentation', 'scratch')):
        folder = tmp_path / 'study' / f'{task}_{pretraining}'
        log = folder / '20240101_000000' / 'vis_data' / 'scalars.json'
        log.parent.mkdir(parents=True)
        values = dict(factor=0.5, lam_attn=0.4, lam_area=0.6)
        lines = [dict(loss=2.0 / i, iter=i, step=i, epoch=i, **values) for i in (1, 2, 3)]
        log.write_text('\n'.join(map(json.dumps, lines)))
        row = dict(name=folder.name, task=task, backbone='DeiT-S', pretraining=pretraining)
        stages.append(row | dict(work_dir=folder, seconds=3720))
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
    path = tmp_path / 'out' / 'figures' / 'strip.png'
    path.parent.mkdir(parents=True)
    Image.fromarray(pixels).save(path)
    return dict(path=path, title='Mixed "images"', caption='Four <digits>.')


def report(folder, *args):
    """Write a report; return the HTML, its text, and the Markdown."""
    page, markdown = (path.read_text(encoding='utf-8') for path in write_report(folder, *args))
    text = html.unescape(re.sub('<[^>]*>', '', page.split('</style>')[1]))
    return page, ' '.join(text.split()), markdown


def test_html_is_complete_offline_and_escaped(tmp_path, study, records, picture):
    note = dict(note='mixed-a.png could not be drawn: OSError: <none>')
    page, text, markdown = report(tmp_path / 'out', study, records, [note, picture])
    assert '<script' not in page and 'Four <digits>.' in text and '<title>Digits &lt;script&gt;' in page
    assert not re.search(r'url\(|@import|https?:|href=', page) and note['note'] in text
    decoded = [base64.b64decode(data) for data in re.findall('src="data:image/png;base64,(.+?)"', page)]
    assert len(decoded) == page.count('src=') == 4 and decoded[0] == picture['path'].read_bytes()
    names = re.findall(r'!\[.*\]\(figures/(.+)\)', markdown)
    assert names == ['strip.png', 'pre-training.png', 'factor.png', 'transfer.png']
    assert decoded == [(tmp_path / 'out' / 'figures' / name).read_bytes() for name in names]


def test_what_was_trained_and_the_sources_of_the_numbers(tmp_path, study, records):
    about = 'Small\nmodels.\n\nMore about them.'
    _, text, markdown = report(tmp_path / 'out', study | dict(about=about), records)
    sentence = 'DeiT-S from the MixPro checkpoint: mIoU 41.2, from scratch 44.3 (-3.1).'
    for content in (text, markdown):
        assert content.count(sentence) == 1 and content.count('single seed') == 1
        for part in ('configs/scratch.py', '0123456789', 'torch 2.11.0', '2024-01-02', '62.0', 'mIoU 41.2'):
            assert part in content
        assert content.index('Small models.') < content.index(sentence) < content.index('More about them.')
        assert 'Differences between methods' not in content and '0123456789a' not in content
    assert '| DeiT-S | mIoU | 44.3 | 41.2 | -3.1 |' in markdown
    assert r'configs/\<mixpro\>.py' in markdown and r'embedded \| digits' in markdown


def test_records_that_name_a_cell_have_the_layout_of_the_paper(tmp_path, study, records):
    named = [
        study_record(pretraining=f'table10_{row}', value=value, cells=[('table10', row, 'error')], data='digits')
        for row, value in (('pal', 96.0), ('equal', 95.0))
    ]
    _, _, markdown = report(tmp_path / 'out', study, [*named, *records])
    table, rest = markdown.split('### Table 10 on digits')[1].split('### Segmentation')
    assert '| PAL | 4.0 |' in table and 'table10' not in table + rest.split('## Sources')[0]
    _, _, markdown = report(tmp_path / 'only', study | {'stages': []}, named)
    assert '| Equal weight | 5.0 (+1.0) |' in markdown and '![' not in markdown


def test_stages_that_share_a_config_of_the_paper(tmp_path, study):
    config, values = cells()['table1', 'deit-small', 'mixpro'][:-3], dict(cutmix=79, mixpro=80, mixpro_lr2=81)
    records = [study_record(config, pretraining=p, value=v, seed=s) for p, v in values.items() for s in (0, 1)]
    _, _, markdown = report(tmp_path / 'out', study | {'stages': []}, records)
    assert 'Table' not in markdown and '## Differences between methods' in markdown
    assert '| X | top-1 | 79.0 ± 0.0 (n=2) | 81.0 ± 0.0 (n=2) | 80.0 ± 0.0 (n=2) |' in markdown


def test_a_study_without_logs_and_one_without_records(tmp_path, study, records):
    page, text, _ = report(tmp_path / 'out', study | {'stages': []}, records)
    assert '<img' not in page and 'Training' not in text
    with pytest.raises(ValueError, match='no results to report'):
        write_report(tmp_path / 'none', study, [])
    assert not (tmp_path / 'none').exists()
