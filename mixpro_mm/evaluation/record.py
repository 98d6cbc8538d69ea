"""A test loop that records its results with model, data and settings."""

import itertools
import json
import os
from numbers import Number
from pathlib import Path

import torch
from mmengine.dist import get_dist_info, is_main_process
from mmengine.runner import TestLoop
from torch import Tensor

from mixpro_mm.registry import LOOPS, register
from mixpro_mm.utils.files import read_json, sha256_of, write_json
from mixpro_mm.version import __version__

__all__ = ['RecordedTestLoop', 'labels_of']

SAME = ('kind', 'config', 'sha256', 'settings')  # equal for records of the same test


@register(LOOPS)
class RecordedTestLoop(TestLoop):
    """mmengine's TestLoop that writes a JSON record to the work directory; use it as ``test_cfg`` of any config.

    The record has ``kind``, ``label``, ``config``, ``checkpoint``, its ``sha256`` (None without a local file), the
    package ``version``, ``settings`` (data set, ``indices``, evaluator, ...), the number of ``images`` and ``metrics``.
    The same test overwrites its record. A record of another test is kept with its picture under a name with the first
    eight digits of its ``sha256``, for example ``test-1a2b3c4d.json``.

    Args:
        runner, dataloader, evaluator: See mmengine's ``TestLoop``.
        label: Name of the model in tables and figures; default: the name of the config file.
        out: Name of the JSON file.
        fp16: Test in half precision.

    Raises:
        ValueError: ``out`` is not the name of a JSON file.
    """

    kind = 'test'

    def __init__(
        self, runner, dataloader, evaluator, label: str | None = None, out: str = 'test.json', fp16: bool = False
    ):
        if Path(out).suffix != '.json':
            raise ValueError(f'out must be the name of a .json file, got {out!r}')
        super().__init__(runner, dataloader, evaluator, fp16)
        self.label, self.out = label, out
        self._configured = evaluator

    def run(self) -> dict:
        """Test, write the record, and return the metrics of the evaluator."""
        metrics = super().run()
        self.write_record(metrics=numbers_of(metrics))
        return metrics

    def settings(self) -> dict:
        """Return the settings that affect the results, besides model and config."""
        dataset = self.dataloader.dataset
        return dict(
            dataset=type(dataset).__name__,
            data_root=getattr(dataset, 'data_root', None),
            data=dict((self.runner.cfg.get('test_dataloader') or {}).get('dataset') or {}),
            indices=(getattr(dataset, 'metainfo', None) or {}).get('indices'),
            evaluator=self._configured,
            batch_size=self.dataloader.batch_size,
            processes=get_dist_info()[1],
            fp16=self.fp16,
        )

    def write_record(self, **measured) -> Path | None:
        """Write the results ``measured``; return the path, or None in other than the main process."""
        if not is_main_process():
            return None
        filename, checkpoint = getattr(self.runner.cfg, 'filename', None), self.runner._load_from
        record = dict(
            kind=self.kind,
            label=self.label or (Path(filename).stem if filename else self.runner.experiment_name),
            config=filename and str(filename),
            checkpoint=checkpoint and str(checkpoint),
            sha256=sha256_of(checkpoint) if checkpoint and Path(checkpoint).is_file() else None,
            version=__version__,
            settings=json.loads(json.dumps(self.settings(), default=_name)),
            images=len(self.dataloader.dataset),
            **measured,
        )
        path = Path(self.runner.work_dir) / self.out
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not _is_same(read_json(path), record):
            kept = _set_aside(path)
            self.runner.logger.warning(f'{path} was the record of another test, which is kept as {kept}')
        write_json(path, record)
        return path


def labels_of(samples, what: str) -> Tensor:
    """Return the labels (B,) of samples; raise a ValueError about ``what`` if one has no label or several."""
    counts = [sample.gt_label.numel() if 'gt_label' in sample else 0 for sample in samples]
    if odd := [count for count in counts if count != 1]:
        raise ValueError(
            f'{what} needs one label per image, but {len(odd)} of {len(counts)} images do not have one; the first of '
            f'them has {odd[0]}'
        )
    return torch.cat([sample.gt_label for sample in samples])


def numbers_of(metrics: dict) -> dict[str, float]:
    """Return the metrics that are numbers; some metrics of mmpretrain are tensors."""
    return {name: float(value) for name, value in metrics.items() if isinstance(value, Number)}


def _is_same(old, new: dict) -> bool:
    """Return whether two records are of the same test, which an unknown checkpoint never is."""
    return isinstance(old, dict) and new['sha256'] is not None and all(old.get(key) == new[key] for key in SAME)


def _set_aside(path: Path) -> Path:
    """Move a record and its picture to unused names; return the new path of the record."""
    record = read_json(path)
    sha256 = record.get('sha256') if isinstance(record, dict) else None
    stem = f'{path.stem}-{str(sha256 or "unknown")[:8]}'
    stems = itertools.chain([stem], (f'{stem}-{number}' for number in itertools.count(2)))
    kept = next(found for found in map(path.with_stem, stems) if not found.exists())
    for suffix in ('.png', '.svg', '.json'):
        if path.with_suffix(suffix).exists():
            os.replace(path.with_suffix(suffix), kept.with_suffix(suffix))
    return kept


def _name(thing) -> str | list:
    """Convert arrays to lists, and other objects to their class name, for JSON."""
    return thing.tolist() if hasattr(thing, 'tolist') else type(thing).__name__
