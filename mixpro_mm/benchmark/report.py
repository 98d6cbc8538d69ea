"""The records of a run as a flat JSON file, and as tables of which the first has the layout of Table 2 of MixPro."""

import contextlib
import datetime
import importlib.metadata
import os
import platform
from pathlib import Path

import torch

from mixpro_mm.benchmark.measure import PARTS
from mixpro_mm.files import write_json, write_text

__all__ = ['environment', 'render', 'write_report']

PACKAGES = ('torch', 'mixpro-mm', 'onedl-mmengine', 'onedl-mmcv', 'onedl-mmpretrain')
RATIO = '{ratio_to_cutmix:.3f} ({ratio_to_cutmix_low:.3f} to {ratio_to_cutmix_high:.3f})'
TIME = '{median_ms:.3f} ± {std_ms:.3f}'
TABLES = {  # section -> title, header, and the row of a record
    'step': (
        'Training',
        'Method | Backbone | #Params (M) | Speed (im/s) | with update (im/s) | Time / CutMix | Peak (MiB)',
        '{method} | {backbone} | {parameters_millions:.1f} | {images_per_s:.2f} ± {std_images_per_s:.2f} | '
        '{update[images_per_s]:.2f} ± {update[std_images_per_s]:.2f} | ' + RATIO + ' | {peak_mib:.1f}',
    ),
    'growth': (
        'Growth of a training step',
        'Along | Batch | Size (px) | Classes | CutMix (ms) | MixPro (ms) | Time / CutMix | CutMix, peak (MiB) | '
        'MixPro, peak (MiB)',
        '{along} | {batch_images} | {size_px} | {classes} | {base[median_ms]:.1f} ± {base[std_ms]:.1f} | '
        '{median_ms:.1f} ± {std_ms:.1f} | ' + RATIO + ' | {base[peak_mib]:.1f} | {peak_mib:.1f}',
    ),
    'mixing': (
        'Mixing alone',
        'Method | Time (ms) | Time / torch.where',
        '{method} | ' + TIME + ' | ' + RATIO.replace('cutmix', 'where'),
    ),
    'labelling': (
        'Labelling alone',
        'Method | Attention (ms) | All of it (ms) | Step (ms) | Share of the step',
        '{method} | {attention_median_ms:.3f} | ' + TIME + ' | {step_ms:.3f} | {share_of_step:.3%}',
    ),
    'loading': (
        'Loading images',
        'Pipeline | Image (px) | File (kB) | Time per image (ms) | Images per second and core',
        '{config} | {width_px} x {height_px} | {file_kb:.0f} | ' + TIME + ' | {images_per_s_and_core:.0f}',
    ),
}


def write_report(folder: Path, content: dict) -> list[Path]:
    """Write ``benchmark.json`` and ``benchmark.md`` and return their paths."""
    text = render(content)  # fails before anything is written
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / 'benchmark.json', folder / 'benchmark.md']
    write_json(paths[0], content)
    write_text(paths[1], text)
    return paths


def environment(device: torch.device) -> dict:
    """Date, device and versions, and the load at this moment: ask before measuring."""
    versions = dict(python=platform.python_version(), cuda=torch.version.cuda)
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return dict(
        date=datetime.date.today().isoformat(),
        device=torch.cuda.get_device_name(device) if device.type == 'cuda' else f'CPU, {_processor()}',
        threads=torch.get_num_threads(),
        cores=os.cpu_count(),
        load=round(os.getloadavg()[0], 2),
        versions=versions,
    )


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines():
            if line.startswith('model name'):
                return line.partition(':')[2].strip()
    return platform.processor() or platform.machine()


def render(content: dict) -> str:
    """The run as Markdown."""
    settings, versions = (', '.join(f'{k} {v}' for k, v in content[key].items()) for key in ('settings', 'versions'))
    busy = content['load'] > 0.5 * content['cores'] and content['settings'].get('clock') == 'wall'
    parts = [
        f'# Cost of mixing and labelling\n\n{content["date"]}, {content["device"]}, {content["threads"]} threads on '
        f'{content["cores"]} cores, load {content["load"]} at the start.'
        + ' The machine was busy: times on a CPU are unreliable.' * busy,
        f'Settings: {settings}.\n\nVersions: {versions}.',
    ]
    rows = _rows([_derived(record) for record in content['records']])
    for section, (title, header, template) in TABLES.items():
        if rows[section]:
            lines = [header, ' | '.join(['---'] + ['---:'] * header.count('|'))]
            lines += [' | '.join(_cell(text, row) for text in template.split(' | ')) for row in rows[section]]
            parts.append(f'## {title}\n\n' + '\n'.join(f'| {line} |' for line in lines))
    return '\n\n'.join(parts) + '\n'


def _derived(record: dict) -> dict:
    """The record with milliseconds, and the deviation of images per second."""
    more = {f'{key[:-2]}_ms': 1e3 * record[key] for key in SECONDS if key in record}
    if 'images_per_s' in record:
        more['std_images_per_s'] = record['images_per_s'] * record['std_s'] / record['mean_s']
    return record | more


def _rows(records: list[dict]) -> dict[str, list[dict]]:
    """Section -> a dict a row; ``update`` and ``base`` are the records shown beside the row's own."""
    rows = {section: [r for r in records if r['section'] == section] for section in TABLES}
    training = {}
    for record in records:
        if record['section'] in ('step', 'memory'):
            row = training.setdefault(record['method'], {})
            row.update(dict(update=record) if record.get('part') == PARTS[1] else record)
    rows['step'] = list(training.values())
    pairs = zip(rows['growth'][::2], rows['growth'][1::2], strict=True)
    rows['growth'] = [dict(ours, base=base) for base, ours in pairs]
    return rows


def _cell(text: str, row: dict) -> str:
    try:
        return text.format_map(row)
    except KeyError:  # not measured
        return '-'
