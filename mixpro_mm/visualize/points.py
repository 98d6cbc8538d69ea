"""The points of Figure 5 of MixPro: top-1 of runs of the figure5 configs, from work directories and results.json."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mmengine.config import Config

from mixpro_mm.arguments import is_number
from mixpro_mm.files import read_json, sha256_of
from mixpro_mm.reporting.curves import read_scalars, series
from mixpro_mm.reporting.paper import find_configs
from mixpro_mm.visualize.curves import TOP1
from mixpro_mm.visualize.runs import checkpoint_of, config_of, split_name

__all__ = ['PANELS', 'Point', 'published_top1', 'read_points']

PANELS = {'a': ('scale', 'side of a mask cell (patches)'), 'b': ('beta', 'β of the mixing ratio')}
NAME = re.compile(r'figure5(?P<panel>[ab])_(?P<model>[^_]+)_(?P<what>scale|beta)-(?P<value>[\d.]+)(_|$)')


class Point(NamedTuple):
    """One run: panel 'a' or 'b', value of scale or beta, name of its line, top-1 in percent, the paper's if known.

    Which run it is, the stem of its config says, with the seed and the hash of its checkpoint where these are known.
    """

    panel: str
    value: float
    name: str
    top1: float
    published: float | None
    config: str
    seed: int | None
    sha256: str | None


def read_points(texts: Sequence[str]) -> list[Point]:
    """The runs of ``[NAME=]PLACE`` each: a work directory, a results.json, or a folder that holds one.

    Which point a run is, the name of its config says: ``figure5a_MODEL_scale-4_...``, ``figure5b_MODEL_beta-1_...``.
    Records of other configs are left out; so are work directories whose training has not come to its end, with a
    sentence on standard error. A run that comes again, by its checkpoint or else by config and seed, counts once.

    Raises:
        ValueError: if there is nothing of Figure 5 at a place, or nothing that is finished at all.
    """
    points = []
    for text in texts:
        name, place = split_name(text)
        file = place / 'results.json' if place.is_dir() else place
        if not file.is_file() and (left := _unfinished(place)):
            print(f'{place} is left out: {left}', file=sys.stderr)
            continue
        found = _from_results(file, name) if file.is_file() else _from_run(place, name)
        if not found:
            raise ValueError(f'{file} has no top-1 of a config named figure5a_MODEL_scale-N or figure5b_MODEL_beta-N')
        for point in found:
            if not any(_same(point, other) for other in points):
                points.append(point)
    if not points:
        raise ValueError('none of these runs is finished: there is nothing to draw')
    return points


def _same(one: Point, other: Point) -> bool:
    """Whether two points are the same run: by the hash of the checkpoint if both have one, else by the seed."""
    if (one.panel, one.value, one.name, one.config) != (other.panel, other.value, other.name, other.config):
        return False
    if one.sha256 and other.sha256:
        return one.sha256 == other.sha256
    return one.seed is not None and one.seed == other.seed


def _from_results(file: Path, name: str | None) -> list[Point]:
    content = read_json(file)
    records = content.get('records') if isinstance(content, dict) else content
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise ValueError(f'{file} holds no list of result records')
    found = []
    for record in records:
        if record.get('metric') == 'top1' and NAME.search(Path(config := str(record.get('config'))).stem):
            for key in ('value', 'published'):
                value = record.get(key)
                if not is_number(value) and (key == 'value' or value is not None):
                    raise ValueError(f'{file} has {value!r} as {key} of the top-1 of {config}, which is no number')
            sha256 = record.get('checkpoint_sha256')
            found.append(_point(config, name, record['value'], record.get('published'), record.get('seed'), sha256))
    return [point for point in found if point]


def _unfinished(folder: Path) -> str | None:
    """Why the training in a work directory has not come to its end; None if it has, or there is no top-1 in it."""
    steps = series(read_scalars(folder), 'step', TOP1)[0]
    if not steps:
        return None
    config = Config.fromfile(config_of(folder), import_custom_modules=False)
    loop = config.get('train_cfg') or {}
    unit = 'epochs' if loop.get('max_epochs') else 'iterations'
    length = loop.get('max_epochs') or loop.get('max_iters')
    if not length:
        return f'{config.filename} has neither max_epochs nor max_iters, so nothing says whether it is finished'
    return f'its last top-1 is that of {steps[-1]} of {length} {unit}' if steps[-1] < length else None


def _from_run(folder: Path, name: str | None) -> list[Point]:
    if not folder.is_dir():
        raise ValueError(f'{folder} is neither a folder nor a file')
    scores = series(read_scalars(folder), 'step', TOP1)[1]
    if not scores:
        raise ValueError(f'{folder} holds neither results.json nor a log with top-1')
    config = config_of(folder)
    seed = (Config.fromfile(config, import_custom_modules=False).get('randomness') or {}).get('seed')
    try:
        sha256 = sha256_of(checkpoint_of(folder))
    except ValueError:  # removed to save space; the seed tells runs apart, too
        sha256 = None
    point = _point(str(config), name, scores[-1], None, seed, sha256)
    return [point] if point else []


def _point(
    config: str, name: str | None, top1: float, published: float | None, seed: int | None, sha256: str | None
) -> Point | None:
    found = NAME.search(Path(config).stem)
    if found is None or PANELS[found['panel']][0] != found['what']:
        return None
    if published is None:
        published = published_top1(Path(config).name)
    stem = Path(config).stem
    return Point(
        found['panel'], float(found['value']), name or found['model'], float(top1), published, stem, seed, sha256
    )


def published_top1(name: str) -> float | None:
    """The paper's number in the header of a config of this package, if that trains on the same data as the paper."""
    for path in sorted(find_configs().glob(f'**/{name}')):
        line = next((x for x in path.read_text(encoding='utf-8').splitlines() if x.startswith('# Paper:')), '')
        found = re.search(r'top-1 (\d+(?:\.\d+)?)', line)
        return float(found[1]) if found and '(ImageNet-1k)' not in line else None
    return None
