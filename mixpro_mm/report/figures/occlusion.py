"""Top-1 over information loss, a panel for each way to drop patches (MixPro, Figure 3)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mixpro_mm.report.figures.canvas import Panel, line_figure, outputs, over_runs, save, write_figure
from mixpro_mm.report.figures.logs import display_names, split_name
from mixpro_mm.report.labels import label
from mixpro_mm.utils.arguments import is_number
from mixpro_mm.utils.files import read_json

__all__ = ['draw_occlusion', 'occlusion_bands', 'occlusion_curves', 'read_occlusion']

MODES = {'random': 'Random patches', 'salient': 'Salient patches', 'non-salient': 'Non-salient patches'}
REFERENCE = 'cutmix'


def draw_occlusion(files: Sequence[str], out: str | None = None, width: str = 'column') -> list[Path]:
    """Draw what occlusion tests wrote, ``[NAME=]JSON`` each. Raises ValueError if they share no axis."""
    paths, (names, files) = outputs(out, 'occlusion'), zip(*map(split_name, files), strict=True)
    return save(_figure([read_occlusion(file) for file in files], names, width), paths)


def occlusion_curves(records: Sequence[dict], path: str | Path, given: Sequence[str | None] | None = None) -> Path:
    """A line for each record of ``OcclusionTestLoop``, ``label``, ``settings`` and ``curves``, or name in ``given``.

    Raises:
        ValueError: if there are no records, or they differ in protocol or grid and share no axis.
    """
    return write_figure(_figure(records, given or [None] * len(records), 'column'), path)


def occlusion_bands(records: list[dict], path: str | Path) -> Path | None:
    """A line for each pre-training, a band over its seeds; beside it the differences to CutMix, paired by seed.

    Of the records of metric ``occlusion_*`` with ``curve``, pairs (information loss in [0, 1], top-1 in percent); None,
    and no file, without any.
    """
    runs = {}  # (backbone, mode) -> (pre-training, seed) -> {information loss: top-1}
    for record in records:
        if (mode := record['metric'].removeprefix('occlusion_')) in MODES and record.get('curve'):
            line = {round(100 * loss, 2): top1 for loss, top1 in record['curve']}
            runs.setdefault((record['backbone'], mode), {})[record['pretraining'], record['seed']] = line
    paired = any({name for name, _ in lines} > {REFERENCE} for lines in runs.values())
    panels, xlabel = [], 'information loss (%)'
    for (backbone, mode), lines in runs.items():
        mean = over_runs((name, line) for (name, _), line in lines.items())
        panels.append(Panel(mean, xlabel, 'top-1 (%)', f'{MODES[mode]}, {backbone}'))
        if paired:
            base = {seed: line for (name, seed), line in lines.items() if name == REFERENCE}
            minus = [
                (name, {x: y - base[seed][x] for x, y in line.items() if x in base[seed]})
                for (name, seed), line in lines.items() if seed in base
            ]  # fmt: skip
            panels.append(Panel(over_runs(minus), xlabel, f'minus {label(REFERENCE)}'))
    return write_figure(line_figure(panels, columns=1 + paired), path) if panels else None


def read_occlusion(path: str | Path) -> dict:
    """The record of one occlusion test. Raises ValueError if the file holds none, or an incomplete one."""
    if not Path(path).is_file():
        raise FileNotFoundError(f'there is no file {path}')
    record = read_json(path)
    try:
        wrong = [key for key in ('label', 'settings', 'curves') if not record[key] or record['kind'] != 'occlusion']
        wrong += [key for key in ('protocol', 'grid') if not record['settings'][key]]
        for mode, curve in record['curves'].items():
            numbers = [[point['information_loss'], point['top1'], point['std'] or 0] for point in curve]
            wrong += [f'{mode}, point {i}' for i, point in enumerate(numbers) if not all(map(is_number, point))]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f'{path} is not the result of an occlusion test: {type(error).__name__} {error}') from error
    if wrong:
        raise ValueError(f'{path} is not the result of an occlusion test: wrong {", ".join(wrong)}')
    return record


def _figure(records: Sequence[dict], given: Sequence[str | None], width: str) -> Figure:
    if not records:
        raise ValueError('there is no occlusion test to draw')
    ways = sorted({(record['settings']['protocol'], record['settings']['grid']) for record in records})
    if len(ways) > 1:
        different = ', '.join(f'{protocol} on {grid}x{grid} patches' for protocol, grid in ways)
        raise ValueError(f'these occlusion tests dropped patches in different ways and share no axis: {different}')
    folders = [record.get('checkpoint') and Path(record['checkpoint']).absolute().parent for record in records]
    names = [label(name) for name in display_names(given, [str(record['label']) for record in records], folders)]
    names = [f'{name} ({names[:i].count(name) + 1})' if name in names[:i] else name for i, name in enumerate(names)]
    panels, notes = [], {}
    for mode, title in MODES.items():
        lines = {}
        for name, record in zip(names, records, strict=True):
            points = sorted(record['curves'].get(mode, []), key=lambda point: point['information_loss'])
            rows = [(100 * point['information_loss'], point['top1'], point['std'] or 0) for point in points]
            lines |= {name: tuple(np.array(rows).T)} if rows else {}
        share = 'attention' if ways[0][0] == 'naseer' and mode != 'random' else 'patches'
        title += '' if lines else ': not measured'
        panels.append(Panel(lines, f'information loss (% of the {share})', 'top-1 (%)', title, bottom=0))
    for name, record in zip(names, records, strict=True):
        notes.setdefault(_salient(record), []).append(name)
    notes = [f'{", ".join(same)}: {what}' if len(notes) > 1 else what for what, same in notes.items() if what]
    return line_figure(panels, width, note='; '.join(notes))


def _salient(record: dict) -> str | None:
    """Which attention decides what is salient; None if only random patches were dropped."""
    settings = record['settings']
    if not (saliency := settings.get('saliency')) or record['curves'].keys() <= {'random'}:
        return None
    heads = 'mean of heads' if settings.get('saliency_head') == 'mean' else f'head {settings.get("saliency_head")}'
    if saliency == 'self':
        return f"salient by each model's own attention, {heads}"
    model, sha256 = Path(saliency.get('checkpoint') or 'unknown').stem, settings.get('saliency_sha256') or 'unknown'
    return f'salient by attention of {model} ({sha256[:8]}), {heads}'
