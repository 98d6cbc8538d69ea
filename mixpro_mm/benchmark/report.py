"""The records of a run as a flat JSON file, and as tables of which the first has the layout of table 2 of MixPro."""

import contextlib
import datetime
import importlib.metadata
import os
import platform
from pathlib import Path

import torch

from mixpro_mm.benchmark.methods import BASE
from mixpro_mm.benchmark.training import PARTS
from mixpro_mm.files import write_json, write_text
from mixpro_mm.reporting.tables import markdown_table

__all__ = ['device_name', 'render', 'surroundings', 'write_report']

PACKAGES = ('torch', 'mixpro-mm', 'mmengine', 'mmcv', 'mmpretrain', 'mmsegmentation', 'mmdetection', 'mmdet')
RATIO = f'ratio_to_{BASE.lower()}'
GROWTH = 'Growth of a training step'
FEW = 6  # rounds, below which the bootstrap's 2.5 % of a median are at its smallest value


def write_report(folder: Path, content: dict) -> list[Path]:
    """Write ``benchmark.json`` and ``benchmark.md`` and return where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / 'benchmark.json', folder / 'benchmark.md']
    text = render(content)  # whatever fails, fails before anything is written
    write_json(paths[0], content)
    write_text(paths[1], text)
    return paths


def surroundings(device: torch.device) -> dict:
    """Date, device, versions and what else decides about speed; the load is what it is now, so ask before measuring."""
    versions = dict(python=platform.python_version())
    for package in PACKAGES:
        for name in (package, f'onedl-{package}'):  # the maintained forks go by other names
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                versions[name] = importlib.metadata.version(name)
    if device.type == 'cuda':
        versions['cuda'] = torch.version.cuda
    return dict(
        date=datetime.date.today().isoformat(),
        device=device_name(device),
        threads=torch.get_num_threads(),
        cores=os.cpu_count(),
        load=round(os.getloadavg()[0], 2),
        matmul_precision=torch.get_float32_matmul_precision(),
        versions=versions,
    )


def device_name(device: torch.device) -> str:
    """What the device calls itself."""
    if device.type == 'cuda':
        return torch.cuda.get_device_name(device)
    with contextlib.suppress(OSError):
        for line in Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines():
            if line.startswith('model name'):
                return f'CPU, {line.partition(":")[2].strip()}'
    return f'CPU, {platform.processor() or platform.machine()}'


def render(content: dict) -> str:
    """The run as Markdown."""
    settings = ', '.join(f'{name} {value}' for name, value in content['settings'].items())
    versions = ', '.join(f'{name} {value}' for name, value in content['versions'].items())
    parts = [
        f'# Cost of mixing and labelling\n\n{content["date"]}, {content["device"]}, {content["threads"]} threads on '
        f'{content["cores"]} cores, load {content["load"]} at the start.{_warning(content)}\n\n'
        f'Settings: {settings}.\n\nVersions: {versions}.'
    ]
    records = content['records']
    for title, table in (
        ('Promises', _bars(content['bars'])),
        ('Training', _training(records)),
        (GROWTH, _growth(records)),
        ('Mixing alone', _mixing(records)),
        ('Labelling alone', _labelling(records)),
        ('Cost by batch and by image', _scaling(records)),
        ('Loading images', _loading(records)),
        ('torch.compile of the training step', _compiled(records)),
    ):
        if table[1]:
            parts.append(f'## {title}\n\n{markdown_table(*table, numeric=_numeric(table[1]))}')
            if title == GROWTH:
                parts += _notes(content)
    return '\n\n'.join(parts) + '\n'


def _warning(content: dict) -> str:
    busy = content['load'] > 0.5 * content['cores'] and content['settings'].get('clock') == 'wall'
    return ' Others were computing too: what the clock on the wall says of a CPU is doubtful.' if busy else ''


def _of(records: list[dict], section: str) -> list[dict]:
    return [record for record in records if record['section'] == section]


def _training(records: list[dict]) -> tuple[list[str], list[list[str]]]:
    """Speed counts mixing, forward pass, loss and backward pass, as the paper's does; the update is the second one."""
    header = ['Method', 'Backbone', '#Params (M)', 'Speed (im/s)', 'with update (im/s)', f'Time / {BASE}', 'Peak (MiB)']
    memory = {record['method']: record for record in _of(records, 'memory')}
    steps = {(record['method'], record['part']): record for record in _of(records, 'step')}
    rows = []
    for name in dict.fromkeys([*(name for name, _ in steps), *memory]):
        backward, update = (steps.get((name, part)) for part in PARTS)
        peak = memory.get(name)
        rows.append(
            [
                name,
                (backward or peak)['backbone'],
                '-' if backward is None else f'{backward["parameters_millions"]:.1f}',
                '-' if backward is None else _speed(backward),
                '-' if update is None else _speed(update),
                '-' if backward is None else _ratio(backward, RATIO),
                '-' if peak is None else f'{peak["peak_mib"]:.1f}',
            ]
        )
    return header, rows


def _growth(records: list[dict]) -> tuple[list[str], list[list[str]]]:
    """A row a case: the base method, then MixPro beside it."""
    header = ['Along', 'Batch', 'Size (px)', 'Classes', 'Ranks', f'{BASE} (ms)', 'MixPro (ms)', f'Time / {BASE}']
    header += [f'{BASE}, peak (MiB)', 'MixPro, peak (MiB)', 'Summed up by ranks (MiB)']
    grown = _of(records, 'growth')
    rows = [
        [
            ours['along'],
            *(str(ours[key]) for key in ('batch_images', 'size_px', 'classes', 'ranks')),
            _time(base, 1),
            _time(ours, 1),
            _ratio(ours, RATIO),
            f'{base["peak_mib"]:.1f}',
            f'{ours["peak_mib"]:.1f}',
            f'{ours["reduced_mib"]:.2f}' if ours['reduced_mib'] else '-',
        ]
        for base, ours in zip(grown[::2], grown[1::2], strict=True)
    ]
    return header, rows


def _notes(content: dict) -> list[str]:
    """What the figures of several ranks do not say on this machine."""
    grown, cores = _of(content['records'], 'growth'), content['cores']
    notes = ['Batch is that of each rank, time that of the slowest rank, with update and hooks; peak that of one rank.']
    most, least = max(record['ranks'] for record in grown), min(record['rounds'] for record in grown)
    if least < FEW:
        notes.append(f'Of {least} rounds an interval is just the range of their ratios, which says little.')
    if content['device'].startswith('CPU'):
        if most * content['threads'] > cores:
            notes.append(
                f'This machine has {cores} cores: steps of more than {cores // content["threads"]} ranks with '
                f'{content["threads"]} threads each share them, so their times measure sharing, not scaling.'
            )
        if most > 1 and content['settings'].get('clock') == 'cpu':
            notes.append('The clock counts what a rank computes, not how long it waits for the others or for a core.')
    elif most == 1:
        notes.append('With one GPU there is nothing to say about several ranks.')
    return [' '.join(notes)]


def _mixing(records: list[dict]) -> tuple[list[str], list[list[str]]]:
    rows = [[r['method'], _time(r), _ratio(r, 'ratio_to_where')] for r in _of(records, 'mixing')]
    return ['Method', 'Time (ms)', 'Time / torch.where'], rows


def _labelling(records: list[dict]) -> tuple[list[str], list[list[str]]]:
    rows = []
    for record in _of(records, 'labelling'):
        attention, step = (f'{record[key] * 1e3:.3f}' for key in ('attention_median_s', 'step_s'))
        rows.append([record['method'], attention, _time(record), step, f'{record["share_of_step"]:.3%}'])
    return ['Method', 'Attention (ms)', 'All of it (ms)', 'Step (ms)', 'Share of the step'], rows


def _scaling(records: list[dict]) -> tuple[list[str], list[list[str]]]:
    rows = [
        [
            f'{r["what"]}, {r["along"]}',
            str(r['batch_images']),
            str(r['size_px']),
            _time(r),
            f'{r["nanoseconds_per_pixel"]:.3f}',
            f'{r["exponent"]:.2f}',
        ]
        for r in _of(records, 'scaling')
    ]
    return ['What', 'Batch', 'Size (px)', 'Time (ms)', 'Time per pixel (ns)', 'Power'], rows


def _loading(records: list[dict]) -> tuple[list[str], list[list[str]]]:
    header = ['Pipeline', 'Image (px)', 'File (kB)', 'Time per image (ms)', 'Images per second and core']
    return header, [
        [
            r['config'],
            f'{r["width_px"]} x {r["height_px"]}',
            f'{r["file_kb"]:.0f}',
            _time(r),
            f'{r["images_per_s_and_core"]:.0f}',
        ]
        for r in _of(records, 'loading')
    ]


def _compiled(records: list[dict]) -> tuple[list[str], list[list[str]]]:
    rows = []
    for record in _of(records, 'compile'):
        eager = f'{record["eager_median_s"] * 1e3:.1f}'
        if not record['works']:
            rows.append([record['method'], record['backend'], eager, record['error'], '-', '-'])
            continue
        counts = [str(record[key]) for key in ('compilations_in_warm_up', 'compilations_after')]
        rows.append([record['method'], record['backend'], eager, f'{record["compiled_median_s"] * 1e3:.1f}', *counts])
    return ['Method', 'Backend', 'Eager (ms)', 'Compiled (ms)', 'Compilations first', 'Compilations after'], rows


def _bars(bars: list[dict]) -> tuple[list[str], list[list[str]]]:
    rows = []
    for bar in bars:
        figure = '-' if bar['figure'] is None else f'{bar["figure"]:.4g}'
        interval = f'{bar["low"]:.4g} to {bar["high"]:.4g}' if 'low' in bar else '-'
        verdict = ('kept' if bar['passed'] else 'not kept') + (', not certain' if not bar.get('certain', True) else '')
        rows.append([bar['name'], figure, interval, f'{bar["limit"]:g}', verdict])
    return ['Promise', 'Figure', '95 % interval', 'At most', 'Verdict'], rows


def _numeric(rows: list[list[str]]) -> set[int]:
    """Columns of figures, to be aligned right."""
    return {i for i in range(len(rows[0])) if all(row[i] == '-' or row[i][0].isdigit() for row in rows)}


def _speed(record: dict) -> str:
    """Images per second, with the spread that the times have."""
    return f'{record["images_per_s"]:.2f} ± {record["images_per_s"] * record["std_s"] / record["mean_s"]:.2f}'


def _ratio(record: dict, key: str) -> str:
    return f'{record[key]:.3f} ({record[f"{key}_low"]:.3f} to {record[f"{key}_high"]:.3f})' if key in record else '-'


def _time(record: dict, digits: int = 3) -> str:
    return f'{record["median_s"] * 1e3:.{digits}f} ± {record["std_s"] * 1e3:.{digits}f}'
