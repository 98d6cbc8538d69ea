"""What the package promises, held against the records of one run."""

from mixpro_mm.benchmark.methods import BASE
from mixpro_mm.benchmark.training import PARTS

__all__ = ['find_bars', 'step_by_parts']

RATIO = f'ratio_to_{BASE.lower()}'
LINEAR = 1.1  # power of the size; 1 is linear, below it a constant share is spread over more
LIMITS = dict(step=1.01, memory=1.01, maps=0, mixing=1.3, labelling=0.003, scaling=LINEAR, compile=0, reduced=1)


def find_bars(records: list[dict]) -> list[dict]:
    """A dict for every promise that these records can decide: name, figure, limit, passed, and the interval if known.

    ``passed`` compares the figure itself with the limit; ``certain`` says whether the whole interval agrees.
    """
    bars = []
    for record in records:
        of = record['section'], record.get('method')
        if of == ('step', 'MixPro') and record['part'] == PARTS[0] and RATIO in record:
            interval = record[f'{RATIO}_low'], record[f'{RATIO}_high']
            bars.append(_bar('step', f'time of a training step, MixPro / {BASE}', record[RATIO], interval))
        elif of == ('memory', 'MixPro'):
            if RATIO in record:
                bars.append(_bar('memory', f'peak memory of a training step, MixPro / {BASE}', record[RATIO]))
            bars.append(_bar('maps', 'attention maps made in a training step with MixPro', record['attention_maps']))
        elif of == ('mixing', 'MaskMix'):
            interval = record['ratio_to_where_low'], record['ratio_to_where_high']
            bars.append(_bar('mixing', 'time of MaskMix alone / one torch.where', record['ratio_to_where'], interval))
        elif of == ('labelling', 'MixPro'):
            bars.append(_bar('labelling', 'time of labelling / training step', record['share_of_step']))
        elif of in (('compile', 'MaskMix'), ('compile', 'MixPro')):
            name = f'compilations after the warm-up, {of[1]}'
            bars.append(_bar('compile', name, record.get('compilations_after')))
    bars += step_by_parts(records) + _of_growth(records)
    powers = {(r['what'], r['along']): r['exponent'] for r in records if r['section'] == 'scaling'}
    return bars + [
        _bar('scaling', f'power of the {along} in the time of {what}', power) for (what, along), power in powers.items()
    ]


def step_by_parts(records: list[dict]) -> list[dict]:
    """The first promise once more, from what its parts cost alone: less direct, without the noise of whole steps."""
    mixing = {record['method']: record['median_s'] for record in records if record['section'] == 'mixing'}
    labelling = [r for r in records if (r['section'], r.get('method')) == ('labelling', 'MixPro')]
    if not labelling or not {'MixPro', BASE} <= mixing.keys():
        return []
    more = mixing['MixPro'] - mixing[BASE] + labelling[0]['median_s']
    name = f'1 + (mixing and labelling of MixPro - mixing of {BASE}) / time of a training step'
    return [_bar('step', name, 1 + more / labelling[0]['step_s'])]


def _of_growth(records: list[dict]) -> list[dict]:
    """Memory, and what ranks sum up, where MixPro is worst; the times of single cases are not certain enough."""
    grown = [record for record in records if record['section'] == 'growth']
    pairs = list(zip(grown[::2], grown[1::2], strict=True))  # the base, then MixPro
    bars = []
    for kind, key, what in (
        ('memory', 'peak_mib', f'peak memory of a training step in the worst case of growth, MixPro / {BASE}'),
        ('reduced', 'reduced_mib', f'bytes that ranks sum up in a step, MixPro / {BASE}'),
    ):
        if quotients := [ours[key] / base[key] for base, ours in pairs if base[key]]:
            bars.append(_bar(kind, what, max(quotients)))
    return bars


def _bar(kind: str, name: str, figure: float | None, interval: tuple[float, float] | None = None) -> dict:
    limit = LIMITS[kind]
    bar = dict(name=name, figure=figure, limit=limit, passed=figure is not None and figure <= limit)
    if interval is not None:
        bar.update(low=interval[0], high=interval[1], certain=interval[1] <= limit or interval[0] > limit)
    return bar
