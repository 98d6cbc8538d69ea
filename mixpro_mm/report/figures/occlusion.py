"""Top-1 over information loss under occlusion (MixPro, Figure 3)."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from mixpro_mm.report.figures.canvas import Panel, line_figure, over_runs
from mixpro_mm.report.figures.logs import display_names, split_name
from mixpro_mm.report.labels import label
from mixpro_mm.report.records import collect

__all__ = ['draw_occlusion', 'occlusion_figure']

REFERENCE = 'cutmix'
XLABEL = 'information loss (%)'


def draw_occlusion(files: Sequence[str], width: str = 'column') -> Figure:
    """Draw the files ``[NAME=]JSON`` of occlusion tests; see :func:`occlusion_figure`.

    Raises:
        ValueError: if a file has no occlusion test, or they differ in protocol or grid.
    """
    given, files = zip(*map(split_name, files), strict=True)
    tests = [[record for record in collect([file]) if record.get('curve')] for file in files]
    if not all(tests):
        raise ValueError(f'{files[tests.index([])]} is not the result of an occlusion test')
    protocols = sorted({record.get('protocol', '') for records in tests for record in records})
    if len(protocols) > 1:
        raise ValueError(f'these occlusion tests differ and share no axis: {"; ".join(protocols)}')
    names = display_names(given, [Path(records[0].get('name') or records[0]['pretraining']) for records in tests])
    named = [r | dict(backbone='', pretraining=name) for name, same in zip(names, tests, strict=True) for r in same]
    return occlusion_figure(named, width)


def occlusion_figure(records: list[dict], width: str = 'column') -> Figure:
    """Draw a line per pre-training with a band over seeds, and the differences to CutMix paired by seed.

    Args:
        records: Those with ``curve``, pairs (information loss, top-1), are drawn, one panel per backbone and mode.
        width: Key of ``WIDTHS``.
    """
    runs, panels = {}, []  # (backbone, mode) -> (pre-training, seed) -> {information loss: top-1}
    for record in records:
        if record.get('curve'):
            mode = record['metric'].removeprefix('occlusion_').partition(' ')[0]
            line = {round(100 * loss, 2): top1 for loss, top1 in record['curve']}
            runs.setdefault((record['backbone'], mode), {})[record['pretraining'], record['seed']] = line
    paired = any({name for name, _ in lines} > {REFERENCE} for lines in runs.values())
    for (backbone, mode), lines in runs.items():
        mean = over_runs((name, line) for (name, _), line in lines.items())
        title = f'{mode.capitalize()} patches' + (f', {backbone}' if backbone else '')
        panels.append(Panel(mean, XLABEL, 'top-1 (%)', title))
        minus = [
            (name, {x: y - lines[REFERENCE, seed][x] for x, y in line.items() if x in lines[REFERENCE, seed]})
            for (name, seed), line in lines.items() if (REFERENCE, seed) in lines
        ]  # fmt: skip
        panels += [Panel(over_runs(minus), XLABEL, f'minus {label(REFERENCE)}')] if paired else []
    return line_figure(panels, width, columns=2 if paired else None)
