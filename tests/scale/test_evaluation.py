"""The same checkpoint, tested by one, two and four processes, has the same metrics: no image counts twice."""

import json

import pytest

pytestmark = pytest.mark.long
# images of each test; neither two nor four divide these numbers, so that samplers fill up with images seen before
IMAGES = dict(accuracy=355, calibration=439, ood=887, naseer=285, count=355, miou=7, boxes=7)
RECORDS = dict(calibration='calibration.json', ood='ood.json', naseer='occlusion.json', count='occlusion.json')


@pytest.mark.parametrize('name', IMAGES)
def test_metrics_are_those_of_one_process(bench, together, name):
    count, errors = together
    assert errors[f'{name}{count}'] == [''] * count
    alone = bench.seen(f'{name}1')['metrics']
    assert IMAGES[name] % count and alone
    for rank in range(count):
        assert bench.seen(f'{name}{count}', rank)['metrics'] == pytest.approx(alone, rel=1e-5, abs=1e-5)


def test_the_numbers_could_have_differed(bench, alone):
    """Of models that have learned a little: no metric is 0, 100 or chance, where a miscount would not show."""
    measured = {name: bench.seen(f'{name}1')['metrics'] for name in IMAGES}
    assert 15 < measured['accuracy']['accuracy/top1'] < 100
    assert 15 < measured['naseer']['accuracy/top1'] < 100
    assert measured['naseer']['occlusion/random_0.5'] != measured['naseer']['accuracy/top1']
    assert 5 < measured['miou']['aAcc'] < 100 and 0 < measured['miou']['mIoU'] < 50


@pytest.mark.parametrize('kind', ['bbox', 'segm'])
def test_every_scene_is_detected_in_once(bench, together, kind):
    """The predictions themselves: average precision of a detector this young would be 0 whatever happened."""
    count, _ = together
    alone, mine = (json.loads((bench.folder / f'boxes{n}.{kind}.json').read_text()) for n in (1, count))
    assert len({entry['image_id'] for entry in alone}) == IMAGES['boxes']
    assert [(e['image_id'], e['category_id']) for e in mine] == [(e['image_id'], e['category_id']) for e in alone]
    for key in ('score', *(['bbox'] if kind == 'bbox' else [])):
        for a, b in zip(mine, alone, strict=True):
            assert a[key] == pytest.approx(b[key], rel=1e-4, abs=1e-4)
    if kind == 'segm':
        different = sum(a['segmentation'] != b['segmentation'] for a, b in zip(mine, alone, strict=True))
        assert different <= len(alone) // 20  # a mask is a threshold, which the last bit of a float may cross


@pytest.mark.parametrize('name', RECORDS)
def test_one_rank_writes_one_whole_record(bench, together, name):
    count, _ = together
    alone, mine = (json.loads((bench.folder / f'{name}{n}' / RECORDS[name]).read_text()) for n in (1, count))
    assert (alone['settings'].pop('processes'), mine['settings'].pop('processes')) == (1, count)
    for record in (alone, mine):
        del record['config'], record['label']  # the file that says all this again
    for numbers in ('metrics', 'whole'):
        assert (numbers in mine) == (numbers in alone)
        assert mine.pop(numbers, {}) == pytest.approx(alone.pop(numbers, {}), rel=1e-5, abs=1e-5)
    assert mine.pop('curves', None) == alone.pop('curves', None)
    assert mine == alone and mine['images'] == IMAGES[name]
    written = [path.name for path in (bench.folder / f'{name}{count}').glob('*.json')]
    assert sorted(written) == sorted([RECORDS[name], *(f'rank{rank}.json' for rank in range(count))])
