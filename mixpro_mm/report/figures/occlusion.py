"""Top-1 over information loss under occlusion (MixPro, Figure 3)."""

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
    """Draw the files ``[NAME=]JSON`` of occlusion tests. Raises ValueError if they differ in protocol or grid."""
    paths, (names, files) = outputs(out, 'occlusion'), zip(*map(split_name, files), strict=True)
    return save(_figure([read_occlusion(file) for file in files], names, width), paths)


def occlusion_curves(records: Sequence[dict], path: str | Path) -> Path:
    """Draw a line per record of ``OcclusionTestLoop``.

    Raises:
        ValueError: if there are no records, or they differ in protocol or grid.
    """
    return write_figure(_figure(records, [None] * len(records), 'column'), path)


def occlusion_bands(records: list[dict], path: str | Path) -> Path | None:
    """Draw a line per pre-training with a band over seeds, and the differences to CutMix paired by seed.

    Args:
        records: Records; those of metric ``occlusion_*`` with ``curve``, pairs (information loss, top-1), are drawn.
        path: The file to write.

    Returns:
        The path, or None without curves.
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
    """Read the record of an occlusion test. Raises ValueError if it is incomplete."""
    if not Path(path).is_file():
        raise FileNotFoundError(f'no such file: {path}')
    record, fault = read_json(path), ''
    try:
        fault = '' if record['kind'] == 'occlusion' and record['label'] else 'kind or label'
        numbers = [record['settings'][key] for key in ('protocol', 'grid')][1:]
        for curve in record['curves'].values():
            numbers += [number for p in curve for number in (p['information_loss'], p['top1'], p['std'] or 0)]
        fault = fault or ', '.join(f'{number!r} is not a number' for number in numbers if not is_number(number))
    except (KeyError, TypeError, AttributeError) as error:
        fault = f'{type(error).__name__} {error}'
    if fault:
        raise ValueError(f'{path} is not the result of an occlusion test: {fault}')
    return record


def _figure(records: Sequence[dict], given: Sequence[str | None], width: str) -> Figure:
    if not records:
        raise ValueError('no occlusion test to draw')
    ways = sorted({(record['settings']['protocol'], record['settings']['grid']) for record in records})
    if len(ways) > 1:
        different = ', '.join(f'{protocol} on {grid}x{grid} patches' for protocol, grid in ways)
        raise ValueError(f'these occlusion tests differ and share no axis: {different}')
    folders = [record.get('checkpoint') and Path(record['checkpoint']).absolute().parent for record in records]
    names = display_names(given, [str(record['label']) for record in records], folders)
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
    """Return which attention defines salient patches; None if only random patches were dropped."""
    settings = record['settings']
    if not (saliency := settings.get('saliency')) or record['curves'].keys() <= {'random'}:
        return None
    heads = 'mean of heads' if settings.get('saliency_head') == 'mean' else f'head {settings.get("saliency_head")}'
    if saliency == 'self':
        return f"salient by each model's own attention, {heads}"
    model, sha256 = Path(saliency.get('checkpoint') or 'unknown').stem, settings.get('saliency_sha256') or 'unknown'
    return f'salient by attention of {model} ({sha256[:8]}), {heads}'
