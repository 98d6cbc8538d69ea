"""Every config lands in the cell that its header names, with the number of the header beside it."""

import re
from pathlib import Path

import pytest

from mixpro_mm.reporting.cells import mean_of
from mixpro_mm.report.paper import published_tables
from mixpro_mm.report.paper_tables import paper_table
from mixpro_mm.reporting.places import DIGITS, IMAGENET, place_of

CONFIGS = Path(__file__).parents[2] / 'configs'
PAPER = published_tables()
MEASURED = 12.3  # no number of the paper
FILES = sorted(
    path for part in ('ablation', 'pretrain', 'segmentation', 'detection') for path in (CONFIGS / part).glob('*.py')
)
WORDS = {'top-1': ('classification', 'top1'), 'mIoU': ('segmentation', 'mIoU'), '(MS)': ('segmentation', 'mIoU (MS)'),
         'box AP': ('detection', 'bbox_mAP'), 'mask AP': ('detection', 'segm_mAP'), 'AURRA': ('robustness', 'A_aurra'),
         'calibration error': ('robustness', 'A_rms_calibration_error'), 'AUPR': ('robustness', 'O_aupr')}  # fmt: skip
STARTS = {'DeiT-S': 'baseline', 'TransMix-DeiT-S': 'transmix', 'MixPro-DeiT-S': 'mixpro'}


def record(path, task, metric, **more):
    return dict(task=task, metric=metric, config=str(path), backbone='X', pretraining='y', value=MEASURED, **more)


def papers(path):
    """The header's lines on the paper: table, the row's words, metric -> number."""
    for line in path.read_text(encoding='utf-8').splitlines():
        found = re.match(r'# Paper: +((?:Table|Figure) [^,]+), (.+?): (.+); not run here$', line)
        if found:
            yield found[1], found[2], dict(re.findall(r'(?:^|, )([^,]+?) (\d+\.\d)', found[3]))


def beside(place, error=False):
    """(text of the measured cell, text in the column after it, leads of its row) in the rendered table."""
    value = 100 - MEASURED if error else MEASURED
    (_, title), (_, header, rows, numeric) = paper_table(
        place.table, place.section, {place.row: {place.column: mean_of([value])}}, PAPER
    )
    cells = [(row, i) for row in rows for i in numeric if row[i] == f'{MEASURED:.1f}']
    assert len(cells) == 1, f'{place} is shown {len(cells)} times'
    row, i = cells[0]
    return title, header[i : i + 2], row[i + 1].split(' ')[0] if i + 1 < len(row) else None


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_a_config_lands_where_its_header_says(path):
    lines = list(papers(path))
    assert len(lines) <= 1
    if not lines or not lines[0][2]:  # no row of the paper, or a point that is drawn and not printed
        task = dict(segmentation=('segmentation', 'mIoU'), detection=('detection', 'bbox_mAP'))
        place = place_of(record(path, *task.get(path.parent.name, ('classification', 'top1'))), PAPER)
        drawn = path.stem.startswith('figure5')
        assert (place is not None) is drawn
        assert not drawn or beside(place, error=True)[2] == '-'
        return
    ((table, _, numbers),) = lines

    for word, number in numbers.items():
        error = word == 'top-1 error' or table.startswith('Figure 5')
        place = place_of(record(path, *WORDS[word.removesuffix(' error')]), PAPER)
        assert place.section == IMAGENET
        title, (_, paper), published = beside(place, error)
        assert title.startswith(f'{table}. ') and paper == 'paper'
        assert float(published) == pytest.approx(100 - float(number) if table.startswith('Figure') else float(number))


@pytest.mark.parametrize('suite', 'ao')
def test_a_row_of_table_5_is_a_checkpoint(suite):
    path = CONFIGS / 'robustness' / f'deit-small_imagenet-{suite}.py'
    for table, row, numbers in papers(path):
        for word, number in numbers.items():
            metric = WORDS[word][1] if word != 'top-1' else 'A_top1'
            start = STARTS[row]
            file = {'baseline': 'mixup-cutmix'}.get(start, start)
            told = record(path, 'robustness', metric) | dict(pretraining=start)
            tested = dict(told, checkpoint=f'work_dirs/deit-small_{file}_8xb128_in1k/epoch_300.pth', pretraining=None)
            for place in (place_of(told, PAPER), place_of(tested, PAPER)):
                title, (_, paper), published = beside(place)
                assert title.startswith(f'{table}. ') and (paper, published) == ('paper', number)
            assert place_of(dict(tested, checkpoint='checkpoints/some.pth'), PAPER) is None
            assert place_of(dict(tested, checkpoint='a/pvt-small_mixpro_8xb128_in1k/epoch_300.pth'), PAPER) is None


def test_every_row_of_the_ablations_on_digits_stands_in_the_same_layout_without_the_paper():
    files = sorted((CONFIGS / 'digits' / 'ablation').glob('*_digits.py'))
    places = [place_of(record(path, 'classification', 'top1'), PAPER) for path in files if 'extractor' not in path.stem]
    assert len(places) == 41 and len(set(places)) == 41
    for place in places:
        assert place.section == DIGITS
        error = place.table in ('table10', 'figure5a', 'figure5b')
        title, header, _ = beside(place, error)
        assert 'layout of' in title and 'paper' not in header


@pytest.mark.parametrize(
    ('config', 'task', 'metric'),
    [
        ('table2_deit-tiny_mixpro_8xb128_in1k', 'classification', 'top1'),  # another model than the table's
        ('table2_deit-small_mine_8xb128_in1k', 'classification', 'top1'),
        ('table7_deit-base_region_8xb128_in1k', 'classification', 'top1'),
        ('vit-huge_mixpro_8xb128_in1k', 'classification', 'top1'),
        ('deit-small_mixpro_8xb128_in1k', 'classification', 'top5'),
        ('segmenter_deit-small_mixpro_4xb4-80k_pascal-context-59-480x480', 'segmentation', 'mIoU'),
        ('segmenter_deit-small_mixpro_4xb4-80k_pascal-context-480x480', 'segmentation', 'mAcc'),
        ('mask-rcnn_pvt-small_mixpro_1x_coco', 'detection', 'bbox_mAP_s'),
        ('my_deit', 'classification', 'top1'),
    ],
)
def test_what_the_paper_has_no_cell_for_takes_none(config, task, metric):
    assert place_of(record(f'configs/{config}.py', task, metric), PAPER) is None


def test_digits_of_a_run_by_hand_go_by_names_of_files():
    def of(config, checkpoint=None, task='classification', metric='top1'):
        return place_of(dict(task=task, metric=metric, config=f'w/{config}.py', checkpoint=checkpoint), PAPER)

    assert of('deit-micro_none_digits-8') == (DIGITS, 'table1', ('DeiT-micro', 'digits-8'), 'none')
    assert of('pvt-micro_mixpro_digits') == (DIGITS, 'table1', ('PVT-micro', 'digits'), 'mixpro')
    row = ('DeiT-micro', 'digit-scenes', 'scratch')
    assert of('segmenter_deit-micro_scratch_digit-scenes', None, 'segmentation', 'mIoU')[1:3] == ('table3', row)
    trained = 'work_dirs/deit-micro_cutmix_digits-8/epoch_25.pth'
    row = ('DeiT-micro', '', 'cutmix')
    assert of('deit-micro_digits-o', trained, 'robustness', 'O_aupr') == (DIGITS, 'table5', row, 'O_aupr')
    found = of('deit-micro_occlusion_digits', 'runs/mine/a.pth', 'robustness', 'occlusion_random')
    assert found == (DIGITS, 'figure3', ('DeiT-micro', 'digits', 'mine'), 'occlusion_random')
    assert of('saliency_resnet-micro_digits') is None  # of which nothing tells a backbone or a pre-training


@pytest.mark.parametrize(
    ('names', 'method'),
    [
        (['pvt-micro_cutmix_digits-8', 'pvt_mixpro', 'run'], 'cutmix'),  # a config before any folder
        (['pvt_mixpro', 'maskrcnn_none'], 'mixpro'),  # what it began with before what it is
        (['weights', 'maskrcnn_none'], 'none'),
        (['pvt_mixpro_lr1', 'run'], 'run'),  # no folder of a study: it may be anything
        (['pvt_mixpro_lr1', 'mask-rcnn_pvt-micro_digit-scenes'], 'pvt_mixpro_lr1'),
        (['mask-rcnn_pvt-micro_digit-scenes'], '-'),
    ],
)
def test_a_transfer_without_a_method_in_its_name_goes_by_names_of_what_was_trained(names, method):
    place = place_of(record('a/mask-rcnn_pvt-micro_digit-scenes.py', 'detection', 'bbox_mAP', trained=names)
                     | dict(backbone=None, pretraining=None), PAPER)  # fmt: skip
    assert place == (DIGITS, 'table4', ('PVT-micro', 'digit-scenes', method), 'bbox_mAP')
