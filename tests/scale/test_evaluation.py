"""One, two and four processes compute the same metrics."""

import json

import pytest

pytestmark = pytest.mark.long
# images of each test; not multiples of 2, so that samplers pad with repeated images
IMAGES = dict(accuracy=355, calibration=439, ood=887, naseer=285, count=355)
RECORDS = dict(calibration='calibration.json', ood='ood.json', naseer='occlusion.json', count='occlusion.json')


@pytest.mark.parametrize('name', IMAGES)
def test_metrics_are_those_of_one_process(bench, together, name):
    count, errors = together
    assert errors[f'{name}{count}'] == [''] * count
    alone = bench.seen(f'{name}1')['metrics']
    assert IMAGES[name] % count and alone
    for rank in range(count):
        assert bench.seen(f'{name}{count}', rank)['metrics'] == pytest.approx(alone, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize('name', RECORDS)
def test_one_rank_writes_one_whole_record(bench, together, name):
    count, _ = together
    alone, mine = (json.loads((bench.folder / f'{name}{n}' / RECORDS[name]).read_text()) for n in (1, count))
    assert (alone['settings'].pop('processes'), mine['settings'].pop('processes')) == (1, count)
    for record in (alone, mine):
        del record['config'], record['label']
    for numbers in ('metrics', 'whole'):
        assert (numbers in mine) == (numbers in alone)
        assert mine.pop(numbers, {}) == pytest.approx(alone.pop(numbers, {}), rel=1e-5, abs=1e-5)
    assert mine.pop('curves', None) == alone.pop('curves', None)
    assert mine == alone and mine['images'] == IMAGES[name]
    written = [path.name for path in (bench.folder / f'{name}{count}').glob('*.json')]
    assert sorted(written) == sorted([RECORDS[name], *(f'rank{rank}.json' for rank in range(count))])
