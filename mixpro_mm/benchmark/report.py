"""The records of a run as a flat JSON file, and as tables of which the first has the layout of Table 2 of MixPro."""

import datetime
import os
import platform
import re
from pathlib import Path

import torch
from mmengine.utils.dl_utils import collect_env

from mixpro_mm.benchmark.measure import PARTS

__all__ = ['environment', 'render']

COLUMNS = {
    'Method': '{method}',
    'Backbone': '{backbone}',
    '#Params (M)': '{parameters_millions:.1f}',
    'Speed (im/s)': '{images_per_s:.2f} ± {std_images_per_s:.2f}',
    'with update (im/s)': '{update[images_per_s]:.2f} ± {update[std_images_per_s]:.2f}',
    'Time / CutMix': '{ratio_to_cutmix:.3f} ({ratio_to_cutmix_low:.3f} to {ratio_to_cutmix_high:.3f})',
    'Peak (MiB)': '{peak_mib:.1f}',
}
TITLES = {  # of the other sections, whose columns are the keys of the records
    'growth': 'Growth of a training step',
    'mixing': 'Mixing alone',
    'labelling': 'Labelling alone',
    'loading': 'Loading images',
}


def environment(device: torch.device) -> dict:
    """Date, device and versions, and the load at this moment: ask before measuring."""
    found, cpuinfo = collect_env(), Path('/proc/cpuinfo')
    name = re.search(r'model name\s*: (.+)', cpuinfo.read_text() if cpuinfo.exists() else '')
    cpu = f'CPU, {name[1] if name else platform.processor() or platform.machine()}'
    return dict(
        date=datetime.date.today().isoformat(),
        device=torch.cuda.get_device_name(device) if device.type == 'cuda' else cpu,
        threads=torch.get_num_threads(),
        cores=os.cpu_count(),
        load=round(os.getloadavg()[0], 2),
        versions={key: found[key] for key in ('Python', 'PyTorch', 'TorchVision', 'MMEngine')},
    )


def render(content: dict) -> str:
    """The run as Markdown. Speed counts mixing, forward pass, loss and backward pass, as in the paper."""
    settings, versions = (', '.join(f'{k} {v}' for k, v in content[key].items()) for key in ('settings', 'versions'))
    records, training = content['records'], {}
    parts = [
        f'# Cost of mixing and labelling\n\n{content["date"]}, {content["device"]}, {content["threads"]} threads on '
        f'{content["cores"]} cores, load {content["load"]} at the start.',
        f'Settings: {settings}.\n\nVersions: {versions}.',
    ]
    for record in (record for record in records if record['section'] in ('step', 'memory')):
        row = training.setdefault(record['method'], {})
        row.update(dict(update=record) if record.get('part') == PARTS[1] else record)
    if training:
        rows = [[_cell(text, row) for text in COLUMNS.values()] for row in training.values()]
        parts.append(f'## Training\n\n{_table(list(COLUMNS), rows)}')
    for section, title in TITLES.items():
        if own := [record for record in records if record['section'] == section]:
            keys = [key for key in own[0] if key not in ('section', 'part')]
            rows = [[f'{r[k]:.4g}' if isinstance(r.get(k), float) else str(r.get(k, '-')) for k in keys] for r in own]
            parts.append(f'## {title}\n\n{_table(keys, rows)}')
    return '\n\n'.join(parts) + '\n'


def _cell(text: str, row: dict) -> str:
    try:
        return text.format_map(row)
    except KeyError:  # not measured
        return '-'


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ['---', *['---:'] * (len(header) - 1)], *rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)
