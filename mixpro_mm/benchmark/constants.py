"""The constants of a run on paper, each with where it comes from: our configs, the paper, files of the benchmark."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mmengine.config import Config

from mixpro_mm.benchmark.bars import step_by_parts
from mixpro_mm.benchmark.complexity import complexity_of
from mixpro_mm.benchmark.methods import BASE
from mixpro_mm.benchmark.training import MIB, PARTS
from mixpro_mm.reporting.paper import find_configs, published_tables

__all__ = ['COUNTED', 'MEASURED', 'PUBLISHED', 'Constants', 'Known', 'Memory', 'find_constants']

MEASURED, PUBLISHED, COUNTED = 'measured', 'published', 'counted'
TIMED = 'deit-small'  # the model of the paper's speeds
NEEDED = {
    'step': 'tools/benchmark.py --methods CutMix,MixPro',
    'labelling': 'tools/benchmark.py --sections labelling,mixing',
    'loading': 'tools/benchmark.py --sections loading',
}


class Known(NamedTuple):
    """A number with its 95 % interval (the same number where there is none), its kind and its source."""

    value: float
    kind: str
    source: str
    low: float | None = None
    high: float | None = None

    @property
    def ends(self) -> tuple[float, float]:
        """Low and high end."""
        return (self.value, self.value) if self.low is None else (self.low, self.high)


class Memory(NamedTuple):
    """Peaks of a step, and where they were measured."""

    points: tuple[tuple[int, float], ...]  # (images in a batch, MiB), the smallest batch first
    source: str


@dataclass(frozen=True)
class Constants:
    """What a run on paper starts from.

    ``pace`` is images per second of one GPU with CutMix, ``ratio`` the time of a step, MixPro / CutMix, ``by_parts``
    the same from what mixing and labelling cost alone; ``reduced`` are bytes that a rank hands over in a step, for each
    of the two methods, and ``memory`` peaks of a step; None where they were not measured with this backbone.
    """

    backbone: str
    images: Known
    epochs: Known
    batch: Known
    rate: Known
    rate_batch: Known
    warm_up: Known
    workers: Known
    parameters: Known
    macs: Known
    pace: Known
    ratio: Known
    labelling: Known
    by_parts: Known
    loading: Known
    reduced: tuple[Known, Known] | None
    memory: Memory | None


def find_constants(runs: dict[str, dict], backbone: str) -> Constants:
    """Look them up.

    The pace is that of a run on a GPU with this backbone, or else the paper's for DeiT-S on a V100 (Table 2), spread to
    other models by their multiply-adds. The ratio goes with it: with the update in the first case, without in the
    second, as the paper timed.

    Args:
        runs: file name -> content of a file of ``tools/benchmark.py``; the first that has a record gives it.
        backbone: as in the names of ``configs/pretrain``.

    Raises:
        ValueError: if there is no config of that backbone, or no run has a record that is needed.
    """
    configs = find_configs()
    path = configs / 'pretrain' / f'{backbone}_mixpro_8xb128_in1k.py'
    if not path.is_file():
        known = sorted(file.name.split('_')[0] for file in path.parent.glob('*_mixpro_8xb128_in1k.py'))
        raise ValueError(f'backbone {backbone!r} has no config {path.name}; known: {", ".join(known)}')
    config = Config.fromfile(path)
    size = complexity_of(config)
    study = Config.fromfile(configs / 'study' / 'paper.py')
    recipe = lambda value: Known(value, PUBLISHED, f'recipe of the paper (Table 11), configs/pretrain/{path.name}')  # noqa: E731
    counted = lambda value: Known(value, COUNTED, f'configs/pretrain/{path.name}')  # noqa: E731
    pace, name, step = _pace(runs, backbone, size.macs, configs)
    parts_name, parts = next(_by_parts(runs), (None, None))
    label_name, label = _first(runs, 'labelling')
    load_name, load = _first(runs, 'loading')
    if parts is None:
        raise ValueError(f'no given file has both labelling and mixing: {NEEDED["labelling"]} writes one')
    ratio = [step[f'ratio_to_{BASE.lower()}{end}'] for end in ('', '_low', '_high')]
    return Constants(
        backbone=backbone,
        images=Known(
            study.imagenet.train_images, PUBLISHED, 'ILSVRC 2012 (Russakovsky et al., 2015); configs/study/paper.py'
        ),
        epochs=recipe(config.train_cfg.max_epochs),
        batch=recipe(config.train_dataloader.batch_size),
        rate=recipe(config.optim_wrapper.optimizer.lr),
        rate_batch=recipe(config.auto_scale_lr.base_batch_size),
        warm_up=recipe(config.param_scheduler[0].warmup),
        workers=counted(config.train_dataloader.num_workers),
        parameters=counted(size.parameters),
        macs=counted(size.macs),
        pace=pace,
        ratio=Known(ratio[0], MEASURED, _place(runs, name, step), *ratio[1:]),
        labelling=Known(label['share_of_step'], MEASURED, _place(runs, label_name, label)),
        by_parts=Known(parts, MEASURED, _place(runs, parts_name)),
        loading=_loading(runs, load_name, load),
        reduced=_reduced(runs, backbone),
        memory=_memory(runs, backbone),
    )


def _records(runs: dict[str, dict], section: str, method: str | None, **wanted) -> Iterator[tuple[str, dict]]:
    wanted = {key: value for key, value in dict(wanted, method=method).items() if value is not None}
    for name, run in runs.items():
        for record in run['records']:
            if record['section'] == section and all(record.get(key) == value for key, value in wanted.items()):
                yield name, record


def _first(runs: dict[str, dict], section: str, **wanted) -> tuple[str, dict]:
    method = None if section == 'loading' else 'MixPro'
    for name, record in _records(runs, section, method, **wanted):
        if section != 'step' or f'ratio_to_{BASE.lower()}' in record:
            return name, record
    raise ValueError(f'no given file has the section {section} that is needed: {NEEDED[section]} writes one')


def _pace(runs: dict[str, dict], backbone: str, macs: int, configs: Path) -> tuple[Known, str, dict]:
    """The pace, and the name and record of the run that the ratio is taken from."""
    on_gpu = {name: run for name, run in runs.items() if not run['device'].startswith('CPU')}
    for name, record in _records(on_gpu, 'step', BASE, part=PARTS[1], backbone=backbone):
        pace = Known(record['images_per_s'], MEASURED, _place(runs, name, record))
        return pace, *_first({name: runs[name]}, 'step', part=PARTS[1], backbone=backbone)
    step = _first(runs, 'step', part=PARTS[0])
    speed = published_tables(configs)['table2'][BASE.lower()]['speed']
    source = 'Table 2 of the paper: DeiT-S, one Tesla V100, without the update'
    if backbone == TIMED:
        return Known(speed, PUBLISHED, source), *step
    own = complexity_of(Config.fromfile(configs / 'pretrain' / f'{TIMED}_mixpro_8xb128_in1k.py')).macs
    source += f'; for {backbone} by its multiply-adds, {macs / own:.2f} times as many'
    return Known(speed * own / macs, PUBLISHED, source), *step


def _by_parts(runs: dict[str, dict]) -> Iterator[tuple[str, float]]:
    for name, run in runs.items():
        yield from ((name, bar['figure']) for bar in step_by_parts(run['records']))


def _loading(runs: dict[str, dict], name: str, record: dict) -> Known:
    image = f'{record["width_px"]} x {record["height_px"]} px, {record["file_kb"]:.0f} kB, made up'
    speed, spread = record['images_per_s_and_core'], record['std_s'] / record['median_s']
    place = f'{_place(runs, name)}; configs/{record["config"]}; {image}; ± one standard deviation of the rounds'
    return Known(speed, MEASURED, place, speed * (1 - spread), speed * (1 + spread))


def _reduced(runs: dict[str, dict], backbone: str) -> tuple[Known, Known] | None:
    found = []
    for method in (BASE, 'MixPro'):
        records = _records(runs, 'growth', method, backbone=backbone, along='ranks')
        for name, record in sorted(records, key=lambda pair: -pair[1]['ranks'])[:1]:
            place = f'{_place(runs, name, record)}, {record["ranks"]} ranks'
            found.append(Known(record['reduced_mib'] * MIB, MEASURED, place))
    return tuple(found) if len(found) == 2 and found[0].value else None


def _memory(runs: dict[str, dict], backbone: str) -> Memory | None:
    """Of one process on a CPU in fp32, at 224 px: there bytes are counted as they are asked for."""
    points, places = {}, []
    for section, wanted in (('memory', {}), ('growth', dict(along='batch'))):
        for name, record in _records(runs, section, 'MixPro', backbone=backbone, size_px=224, **wanted):
            if runs[name]['device'].startswith('CPU') and runs[name]['settings']['amp'] == 'none':
                points[record['batch_images']] = record['peak_mib']
                places.append(_place(runs, name))
    return Memory(tuple(sorted(points.items())), '; '.join(dict.fromkeys(places))) if len(points) > 1 else None


def _place(runs: dict[str, dict], name: str, record: dict | None = None) -> str:
    batch = '' if record is None else f', {record["backbone"]}, batch {record["batch_images"]}'
    return f'{name}, {runs[name]["device"]}{batch}'
