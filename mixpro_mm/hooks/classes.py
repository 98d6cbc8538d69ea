"""``ClassCheckHook``, which compares the classes of model and data before training."""

import contextlib
import re
from collections.abc import Iterator
from itertools import zip_longest
from json import JSONDecoder
from pathlib import Path
from types import SimpleNamespace

from mmengine.fileio import get_local_path
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop

from mixpro_mm.registry import HOOKS, register
from mixpro_mm.utils.arguments import patterns
from mixpro_mm.utils.unwrap_model import unwrap_model

__all__ = ['ClassCheckHook', 'first_difference', 'own_fault']


@register(HOOKS)
class ClassCheckHook(Hook):
    """Compare the number, names and order of classes in data sets and model.

    Before training, the hook compares ``num_classes`` of each head and of the data preprocessor with ``classes`` of
    the data sets, and the names of the training set with those of the validation set. Before each run, tests included,
    it compares ``classes`` of each data set with its labels: the categories of a COCO file (mmdet drops names that the
    file lacks and follows the order of the file) or the class folders. Before a test it compares them with those of
    the checkpoint. It skips data sets without class names.

    Args:
        ignore: Modules to skip, by name or prefix, such as ``'decode_head.aux'``.

    Raises:
        RuntimeError: Before the run, if a number or a name differs.
    """

    priority = 'VERY_HIGH'

    def __init__(self, ignore=()):
        self.ignore = patterns('ignore of ClassCheckHook', ignore)

    def before_run(self, runner) -> None:
        train, val, test = (_datasets(runner, split) for split in ('train', 'val', 'test'))
        for name, dataset in (*train, *val, *test):
            if fault := own_fault(dataset):
                raise RuntimeError(f'ClassCheckHook: {name} {fault}.')
        named = [pair for pair in (*train, *val) if _classes(pair[1])]
        if not train or not named:
            return
        (first, reference), classes = named[0], _classes(named[0][1])
        for name, dataset in named:
            _compare(name, dataset, reference, first)
        if wrong := [f'{name} has {count}' for name, count in self._counts(runner.model) if count != len(classes)]:
            raise RuntimeError(
                f'ClassCheckHook: {first} has {len(classes)} classes, {classes[0]} to {classes[-1]}, but '
                f'{", ".join(wrong)}: {_empty_folders(reference)}set num_classes={len(classes)} there.'
            )

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        trained = SimpleNamespace(metainfo=(checkpoint.get('meta') or {}).get('dataset_meta'))
        tests = () if isinstance(runner._train_loop, BaseLoop) else ('val', 'test')
        for name, dataset in (pair for split in tests for pair in _datasets(runner, split)):
            if len(_classes(dataset)) == len(_classes(trained)):  # other numbers do not fit the model
                _compare(name, dataset, trained, 'the training of the checkpoint')

    def _counts(self, model) -> Iterator[tuple[str, int]]:
        for name, module in unwrap_model(model).named_modules():
            parts, count = name.split('.'), getattr(module, 'num_classes', None)
            # 'model' is the network of a TimmClassifier
            classifies = name in ('data_preprocessor', 'model') or any(part.endswith('head') for part in parts)
            # these count object or background, and stuff classes
            skipped = {'rpn_head', 'semantic_head'}.intersection(parts) or name.startswith(self.ignore)
            if classifies and not skipped and isinstance(count, int) and count > 0:
                yield name, count


def _compare(name: str, dataset, reference, other: str) -> None:
    if difference := first_difference(dataset, reference, other):
        advice = f'{_empty_folders(dataset, reference)}give both the same classes in the same order'
        raise RuntimeError(f'ClassCheckHook: {name} has other classes, {difference}: {advice}.')


def _empty_folders(*datasets) -> str:
    """Return the advice to remove class folders without an image, or ''."""
    for dataset in datasets:
        folders = getattr(dataset, 'folder_to_idx', None) or {}
        labels = set(map(int, dataset.get_gt_labels())) if folders else ()
        if empty := [repr(name) for name, label in folders.items() if label not in labels]:
            return f'{", ".join(empty[:5])} in {dataset.img_prefix} has no image, remove it if it is no class, else '
    return ''


def own_fault(dataset) -> str:
    """Return why the labels of a data set do not match its ``classes``, or '' if they match or cannot be compared."""
    classes, source = _classes(dataset), getattr(dataset, 'ann_file', '')
    labels = names = list(getattr(dataset, 'folder_to_idx', None) or ())
    if labels:
        source = dataset.img_prefix
        if hidden := ', '.join(repr(name) for name in labels if name.startswith('.') or name == '__MACOSX'):
            return f'takes {hidden} in {source} for classes, which shifts later labels: remove {hidden}'
    elif source and getattr(dataset, 'cat_ids', None) is not None:
        labels, names = _categories(dataset)
    place = _misplaced(labels, classes) if labels and classes else None
    if place is None:
        return ''
    known = ', '.join(map(repr, names[:20])) + ', ...' * (len(names) > 20)
    ours, theirs = (*classes, None)[place], (*labels, None)[place]
    advice = f'set metainfo.classes to names of it in its order, ({known})'
    return f'calls label {place} {ours!r}, but it is {theirs!r} in {source}: {advice}'


def first_difference(dataset, reference, name: str) -> str:
    """Return the first difference between the classes of ``dataset`` and ``reference`` (called ``name``), or ''.

    The comparison ignores case and treats underscores as blanks. WordNet IDs are not compared with class names.
    """
    ours, theirs = _classes(dataset), _classes(reference)
    kinds = [all(re.fullmatch(r'n\d{8}', str(each)) for each in names) for names in (ours, theirs)]
    prompts = any(getattr(each, 'return_classes', False) for each in (dataset, reference))  # of grounded detection
    if len(ours) == len(theirs) and (prompts or kinds[0] != kinds[1]):
        return ''
    pairs = enumerate(zip_longest(map(_same, ours), map(_same, theirs)))
    place = next((place for place, (one, other) in pairs if one != other), None)
    folders = [list(getattr(each, 'folder_to_idx', None) or ()) for each in (dataset, reference)]
    if place is None and all(folders):  # different folders may have the same class names
        (ours, theirs), place = folders, _misplaced(*folders)
    if place is None:
        return ''
    here, there = (*ours, None)[place], (*theirs, None)[place]
    return f'label {place} is {here!r} here and {there!r} in {name}, which has {len(theirs)} classes'


def _categories(dataset) -> tuple[list, list]:
    """Return the category names of a COCO file by label and in file order; empty lists if they cannot be read.

    mmdet does not keep them. The file may have gigabytes, so only this list is parsed.
    """
    with get_local_path(dataset.ann_file, backend_args=getattr(dataset, 'backend_args', None)) as path:
        text = Path(path).read_text(encoding='utf-8', errors='replace')
    for match in re.finditer(r'"categories"\s*:\s*(?=\[)', text):
        with contextlib.suppress(KeyError, TypeError, ValueError):
            names = {entry['id']: entry['name'] for entry in JSONDecoder().raw_decode(text, match.end())[0]}
            return [names[each] for each in dataset.cat_ids], list(names.values())
    return [], []


def _misplaced(names: list, classes: tuple | list) -> int | None:
    """Return the first place where the lists differ, other than by aliases: names that only one of them has."""
    names, classes = list(map(_same, names)), list(map(_same, classes))
    shared, equal_length = set(names) & set(classes), len(names) == len(classes)
    for place, (one, other) in enumerate(zip_longest(names, classes)):
        if one != other and (not equal_length or {one, other} & shared):
            return place
    return None


def _same(name) -> str:
    return str(name).strip().casefold().replace('_', ' ').replace('-', ' ')


def _classes(dataset) -> tuple:
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes') or ()
    return tuple(classes) if isinstance(classes, list | tuple) else ()


def _datasets(runner, split: str) -> list[tuple]:
    """Return names and unwrapped data sets of a split, if its loop is built."""
    loop = getattr(runner, f'_{split}_loop', None)
    dataset = getattr(getattr(loop, 'dataloader', None), 'dataset', None)
    inner = [] if dataset is None or not isinstance(loop, BaseLoop) else _inner(dataset)
    return [(f'the {split} set ({type(dataset).__name__})', dataset) for dataset in inner]


def _inner(dataset) -> list:
    wrapped = getattr(dataset, 'dataset', None)
    parts = getattr(dataset, 'datasets', None) or ([] if wrapped is None else [wrapped])
    return [inner for part in parts for inner in _inner(part)] if parts else [dataset]
