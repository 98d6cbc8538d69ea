import json

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from mixpro_mm.reporting import occlusion
from mixpro_mm.reporting.palette import KNOWN


@pytest.fixture
def drawn(monkeypatch):
    """Every figure as it is written."""
    seen = []
    write = occlusion.write_figure
    monkeypatch.setattr(occlusion, 'write_figure', lambda figure, path: seen.append(figure) or write(figure, path))
    return seen


DINO = dict(
    saliency=dict(type='VisionTransformer', checkpoint='a/dino.pth'), saliency_head=1, saliency_sha256='0123456789' * 6
)
OWN = dict(saliency='self', saliency_head='mean', saliency_sha256=None)
MODES = ('random', 'salient', 'non-salient')


def record(label, shift=0.0, std=None, protocol='naseer', grid=14, modes=MODES, size=224, **saliency):
    def curve(sign):
        losses = [0.5, 0.0, 0.9]  # in no order
        return [dict(information_loss=loss, top1=80 - sign * 50 * loss + shift, std=std) for loss in losses]

    curves = {mode: curve(number) for number, mode in enumerate(MODES) if mode in modes}
    settings = dict(protocol=protocol, grid=grid, size=[size, size], **(saliency or DINO))
    return dict(kind='occlusion', label=label, settings=settings, curves=curves)


def lines(axes):
    return {c.get_label(): (list(c.lines[0].get_xdata()), list(c.lines[0].get_ydata())) for c in axes.containers}


def test_three_panels_show_every_model_by_information_loss(tmp_path, drawn):
    path = occlusion.occlusion_curves([record('mixpro'), record('TransMix', -4)], tmp_path / 'a' / 'occlusion.png')
    random, salient, rest = drawn[0].axes
    x = [0, 50, 90]
    assert lines(random) == {'MixPro': (x, [80, 80, 80]), 'TransMix': (x, [76, 76, 76])}
    assert lines(salient) == {'MixPro': (x, [80, 55, 35]), 'TransMix': (x, [76, 51, 31])}
    assert lines(rest) == {'MixPro': (x, [80, 30, -10]), 'TransMix': (x, [76, 26, -14])}
    titles = [axes.get_title(loc='left') for axes in drawn[0].axes]
    assert titles == ['Random patches', 'Salient patches', 'Non-salient patches']
    shares = [axes.get_xlabel() for axes in drawn[0].axes]
    assert shares == ['% of the patches', '% of the attention', '% of the attention']
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ['MixPro', 'TransMix']
    with Image.open(path) as image:
        assert image.format == 'PNG' and image.width == 1080 and np.asarray(image.convert('L')).std() > 5


def test_counts_are_plotted_by_patches_and_what_is_missing_is_said(tmp_path, drawn):
    occlusion.occlusion_curves([record('a', protocol='count', modes=('random', 'salient'))], tmp_path / 'a.png')
    assert {axes.get_xlabel() for axes in drawn[0].axes} == {'% of the patches'}
    assert [[text.get_text() for text in axes.texts] for axes in drawn[0].axes] == [[], [], ['not measured']]


def test_bars_are_the_deviation_over_runs(tmp_path, drawn):
    occlusion.occlusion_curves([record('a', std=2.0), record('b')], tmp_path / 'a.png')
    with_bars, without = drawn[0].axes[0].containers
    ends = with_bars.lines[2][0].get_segments()
    assert [(end[0][1], end[1][1]) for end in ends] == [(78, 82)] * 3
    assert not without.lines[2]


def test_models_of_one_name_stay_apart(tmp_path, drawn):
    occlusion.occlusion_curves([record('a'), record('b'), record('a', 1), record('a', 2)], tmp_path / 'a.png')
    containers = drawn[0].axes[0].containers
    assert [container.get_label() for container in containers] == ['a', 'b', 'a (2)', 'a (3)']
    assert len({container.lines[0].get_color() for container in containers}) == 4


def below(figure):
    first, *notes = figure.get_supxlabel().split('\n')
    assert first == 'information loss'
    return notes


def test_it_is_said_by_what_patches_are_salient(tmp_path, drawn):
    occlusion.occlusion_curves([record('a'), record('b')], tmp_path / 'a.png')
    occlusion.occlusion_curves([record('a', **OWN), record('b', **OWN)], tmp_path / 'a.png')
    occlusion.occlusion_curves(
        [record('a', modes=['random']), record('b', modes=['random'], **OWN)], tmp_path / 'a.png'
    )
    notes = [
        ['salient by attention of dino (01234567), head 1'],
        ["salient by each model's own attention, mean of heads"],
    ]
    assert [below(figure) for figure in drawn] == [*notes, []]


def test_models_judged_in_different_ways_are_told_apart(tmp_path, drawn):
    others = [
        dict(DINO, saliency_sha256='9876543210' * 6),
        dict(DINO, saliency_head=0),
        dict(DINO, saliency_head='mean'),
        OWN,
    ]
    records = [record('mixpro'), record('b'), *(record(f'c{i}', **other) for i, other in enumerate(others))]
    records.append(record('d', modes=['random'], **OWN))  # drops nothing that is salient
    occlusion.occlusion_curves(records, tmp_path / 'a.png')
    assert below(drawn[0]) == [
        'MixPro, b: salient by attention of dino (01234567), head 1',
        'c0: salient by attention of dino (98765432), head 1',
        'c1: salient by attention of dino (01234567), head 0',
        'c2: salient by attention of dino (01234567), mean of heads',
        "c3: salient by each model's own attention, mean of heads",
    ]


def test_images_of_several_sizes_are_said(tmp_path, drawn):
    records = [record(name, size=size, modes=['random']) for name, size in (('a', 32), ('b', 64), ('c', 32))]
    occlusion.occlusion_curves(records, tmp_path / 'a.png')
    assert below(drawn[0]) == ['a, c: images of 32x32 pixels', 'b: images of 64x64 pixels']


def test_notes_on_many_models_stay_within_the_figure(tmp_path, drawn):
    names = [f'DeiT-S pre-trained in the way number {number}' for number in range(8)]
    others = [record(name, **(OWN if number % 2 else DINO)) for number, name in enumerate(names)]
    occlusion.occlusion_curves(others, tmp_path / 'a.png')
    (figure,) = drawn
    FigureCanvasAgg(figure).draw()
    said = ' '.join(below(figure))
    assert all(said.count(f'number {number}') == 1 for number in range(8))
    assert figure._supxlabel.get_window_extent().width <= figure.bbox.width


def test_methods_keep_their_colours_and_no_two_lines_share_one(tmp_path, drawn):
    labels = ['other', 'none', 'cutmix', 'transmix', 'tokenmix', 'MixPro']
    for names in (labels, labels[::-1]):
        occlusion.occlusion_curves([record(name) for name in names], tmp_path / 'a.png')
    first, second = ({c.get_label(): c.lines[0].get_color() for c in figure.axes[0].containers} for figure in drawn)
    assert first == second and len(set(first.values())) == 6
    known = dict(zip(('no mixing', 'CutMix', 'TransMix', 'TokenMix', 'MixPro'), labels[1:], strict=True))
    assert {name: first[name] for name in known} == {name: KNOWN[key.lower()] for name, key in known.items()}


def test_tests_of_different_kinds_share_no_axis(tmp_path):
    with pytest.raises(ValueError, match='share no axis: count on 14x14 patches, naseer on 14x14 patches'):
        occlusion.occlusion_curves([record('a'), record('b', protocol='count')], tmp_path / 'a.png')
    with pytest.raises(ValueError, match='naseer on 7x7 patches'):
        occlusion.occlusion_curves([record('a'), record('b', grid=7)], tmp_path / 'a.png')
    with pytest.raises(ValueError, match='no occlusion test to draw'):
        occlusion.occlusion_curves([], tmp_path / 'a.png')
    assert not list(tmp_path.iterdir())


def test_equal_labels_give_way_to_the_folders_of_the_checkpoints(tmp_path, drawn):
    folders = ('deit_none_s0', 'deit_cutmix_s0', 'deit_mixpro_s0')
    records = [record('deit-micro_occlusion_digits-8') | dict(checkpoint=f'/w/{f}/epoch_9.pth') for f in folders]
    occlusion.occlusion_curves(records, tmp_path / 'a.png')
    occlusion.occlusion_curves(records, tmp_path / 'a.png', [None, None, 'Ours MixPro'])
    occlusion.occlusion_curves([*records[:2], records[0]], tmp_path / 'a.png')
    first, given, again = ({c.get_label(): c.lines[0].get_color() for c in f.axes[0].containers} for f in drawn)
    assert first == {'no mixing': KNOWN['none'], 'CutMix': KNOWN['cutmix'], 'MixPro': KNOWN['mixpro']}
    assert given == {'no mixing': KNOWN['none'], 'CutMix': KNOWN['cutmix'], 'Ours MixPro': KNOWN['mixpro']}
    assert list(again) == ['no mixing', 'CutMix', 'no mixing (2)'] and again['no mixing'] == KNOWN['none']


def test_labels_that_differ_are_cut_to_what_differs(tmp_path, drawn):
    records = [record(f'{net}_occlusion_digits-8') | dict(checkpoint='/w/x/1.pth') for net in ('deit', 'pvt')]
    occlusion.occlusion_curves(records, tmp_path / 'a.png')
    assert list(lines(drawn[0].axes[0])) == ['deit', 'pvt']


def test_a_record_is_read_whole_or_refused_in_one_sentence(tmp_path):
    whole, path = record('a', std=1.0), tmp_path / 'a.json'
    path.write_text(json.dumps(whole))
    assert occlusion.read_occlusion(path) == whole
    point = dict(information_loss=0.5, top1=80.0, std=None)
    broken = {
        'a label': {key: value for key, value in whole.items() if key != 'label'},
        'protocol and grid among its settings': whole | dict(settings={}),
        'grid among its settings': whole | dict(settings=dict(protocol='naseer')),
        'curves': whole | dict(curves=None),
        'information_loss and top1 and std in point 1 of the curve random': whole
        | dict(curves=dict(random=[point, 3])),
        'top1 in point 0 of the curve salient': whole | dict(curves=dict(salient=[point | dict(top1=None)])),
        'std in point 0 of the curve salient': whole | dict(curves=dict(salient=[point | dict(std='1')])),
    }
    for lacks, content in broken.items():
        path.write_text(json.dumps(content))
        with pytest.raises(ValueError) as caught:
            occlusion.read_occlusion(path)
        assert str(caught.value) == f'{path} is not the result of an occlusion test: it lacks {lacks}'
    for text in ('{"kind": "other"}', '{"kind": "occlusion", "label": "d", "settings"'):
        path.write_text(text)
        with pytest.raises(ValueError, match=r'is not the result of an occlusion test$'):
            occlusion.read_occlusion(path)
    with pytest.raises(FileNotFoundError, match='there is no file '):
        occlusion.read_occlusion(tmp_path / 'nowhere.json')
