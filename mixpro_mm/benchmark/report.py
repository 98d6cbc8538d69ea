"""The environment of a run, and its tables. The first has the layout of Table 2 of MixPro."""

import datetime
import os
import re
from pathlib import Path

import pandas as pd
import torch
from mmengine.utils.dl_utils import collect_env

from mixpro_mm.benchmark.measure import PARTS
from mixpro_mm.report.tables import markdown_table

__all__ = ['environment', 'render']

TRAINING = {  # column -> format of the records of a method
    'Method': '{method}',
    'Backbone': '{backbone}',
    '#Params (M)': '{parameters_millions:.1f}',
    'Speed (im/s)': '{images_per_s:.2f}',
    'with update (im/s)': '{update[images_per_s]:.2f}',
    'Time / CutMix': '{ratio_to_cutmix:.3f} ({ratio_to_cutmix_low:.3f} to {ratio_to_cutmix_high:.3f})',
    'Peak (MiB)': '{peak_mib:.1f}',
}
OTHERS = {  # title -> section and keys of its records
    'Growth of a training step': 'growth along batch_images size_px classes method median_s std_s '
    'ratio_to_cutmix ratio_to_cutmix_low ratio_to_cutmix_high peak_mib',
    'Mixing alone': 'mixing method memory dtype batch_images size_px median_s std_s ratio_to_where ratio_to_where_low '
    'ratio_to_where_high',
    'Labelling alone': 'labelling method batch_images size_px median_s std_s step_s share_of_step',
    'Ops of mmcv': 'ops op boxes bins median_s std_s ratio_to_compiled ratio_to_compiled_low ratio_to_compiled_high',
    'Loading images': 'loading pipeline width_px height_px file_kb median_s std_s images_per_s_and_core '
    'ratio_to_mmpretrain ratio_to_mmpretrain_low ratio_to_mmpretrain_high ratio_to_decoding',
    'Data loaders': 'workers pipeline workers batch_images median_s std_s images_per_s ratio_to_mmpretrain '
    'ratio_to_mmpretrain_low ratio_to_mmpretrain_high growth_mib',
    'Training on Fashion-MNIST': 'fashion config loading size_px batch_images median_s std_s images_per_s '
    'ratio_to_per_image ratio_to_per_image_low ratio_to_per_image_high',
}


def environment(device: torch.device) -> dict:
    """Return date, device, versions and the current load."""
    found, cpuinfo = collect_env(), Path('/proc/cpuinfo')
    versions = {key.lower(): found[key].split()[0] for key in ('Python', 'PyTorch', 'TorchVision', 'MMEngine')}
    cpu = re.search(r'model name\s*: (.+)', cpuinfo.read_text() if cpuinfo.exists() else '')
    name = torch.cuda.get_device_name(device) if device.type == 'cuda' else f'CPU, {cpu[1] if cpu else "unknown"}'
    machine = dict(threads=torch.get_num_threads(), cores=os.cpu_count(), load=round(os.getloadavg()[0], 2))
    return dict(date=datetime.date.today().isoformat(), device=name, **machine, versions=versions)


def render(content: dict) -> str:
    """Return the run as Markdown. Speed is that of mixing, forward and backward pass, as in the paper."""
    settings, versions = (', '.join(f'{k} {v}' for k, v in content[key].items()) for key in ('settings', 'versions'))
    parts = [
        f'# Cost of mixing and labelling\n\n{content["date"]}, {content["device"]}, {content["threads"]} threads on '
        f'{content["cores"]} cores, load {content["load"]} at the start.',
        f'Settings: {settings}.\n\nVersions: {versions}.',
    ]
    training = {}
    for record in content['records']:
        if record['section'] in ('step', 'memory'):
            own = dict(update=record) if record.get('part') == PARTS[1] else record
            training.setdefault(record['method'], {}).update(own)
    parts += _table('Training', TRAINING, list(training.values()))
    for title, keys in OTHERS.items():
        section, *keys = keys.split()
        found = [record for record in content['records'] if record['section'] == section]
        rows = [{k: f'{v:.4g}' if isinstance(v, float) else v for k, v in record.items()} for record in found]
        parts += _table(title, {key: f'{{{key}}}' for key in keys}, rows)
    return '\n\n'.join(parts) + '\n'


def _table(title: str, columns: dict[str, str], rows: list[dict]) -> list[str]:
    """Return a table with its title, if it has rows. '-' means not measured."""
    frame = pd.DataFrame([[_cell(text, row) for text in columns.values()] for row in rows], columns=[*columns])
    return [f'## {title}\n\n{markdown_table(frame)}'] if rows else []


def _cell(text: str, row: dict) -> str:
    try:
        return text.format_map(row)
    except KeyError:
        return '-'
