"""``ClassCheckHook``, which compares the classes of model and data before training."""

from collections.abc import Iterator
from types import SimpleNamespace

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop

from mixpro_mm.hooks.class_names import empty_folders, first_difference, own_fault
from mixpro_mm.registry import HOOKS, register
from mixpro_mm.utils.arguments import patterns
from mixpro_mm.utils.unwrap_model import unwrap_model

__all__ = ['ClassCheckHook']

COUNT_OTHERS = ('rpn_head', 'semantic_head')  # object or background; stuff classes


@register(HOOKS)
class ClassCheckHook(Hook):
    """Compare the number, names and order of classes in data sets and model.

    Before training, the hook compares ``num_classes`` of each head and of the data preprocessor with ``classes`` of
    the data sets, and the names of the training set with those of the validation set. Without this check a head with
    too many classes trains silently, and a head with too few ends in an IndexError or a CUDA assert.

    Before each run, tests included, the hook compares ``classes`` of each data set with its labels: the categories of
    a COCO file (mmdet drops names that the file lacks and follows the order of the file) or the class folders. It
    unwraps data sets and checks each part of a concatenation. It skips data sets without class names. Before a test,
    it compares the class names with those of the checkpoint if their numbers agree. FlexibleRunner reads weights
    before any hook runs.

    Args:
        ignore: Modules to skip, by name or prefix, such as ``'decode_head.aux'``.

    Raises:
        RuntimeError: In ``before_run``, if a number or a name differs.
    """

    priority = 'VERY_HIGH'

    def __init__(self, ignore=()):
        self.ignore = patterns('ignore of ClassCheckHook', ignore)

    def before_run(self, runner) -> None:
        """Compare the classes."""
        sets = {split: list(_datasets(runner, split)) for split in ('train', 'val', 'test')}
        for split, datasets in sets.items():
            for dataset in datasets:
                if fault := own_fault(dataset):
                    raise RuntimeError(f'ClassCheckHook: {_called(split, dataset)} {fault}.')
        if not sets['train']:
            return
        counts = dict(self._counts(unwrap_model(runner.model)))
        first = next((('train', dataset) for dataset in sets['train'] if _classes(dataset)), None)
        for split in ('train', 'val'):
            for dataset in filter(_classes, sets[split]):
                _compare(counts, split, dataset, first)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Before a test, compare the classes with those in the checkpoint."""
        if isinstance(runner._train_loop, BaseLoop):
            return
        classes = ((checkpoint.get('meta') or {}).get('dataset_meta') or {}).get('classes')
        trained = SimpleNamespace(metainfo=dict(classes=classes))
        if not _classes(trained):
            return
        for split in ('val', 'test'):
            for dataset in _datasets(runner, split):
                if len(_classes(dataset)) != len(classes):
                    continue
                if difference := first_difference(dataset, trained, 'the training of the checkpoint'):
                    raise RuntimeError(
                        f'ClassCheckHook: {_called(split, dataset)} has other classes, {difference}: test with the '
                        'classes of the training, in their order.'
                    )

    def _counts(self, model) -> Iterator[tuple[str, int]]:
        for name, module in model.named_modules():
            parts, count = name.split('.'), getattr(module, 'num_classes', None)
            is_timm = name == 'model' and 'timm' in type(module).__module__
            classifies = parts[0] == 'data_preprocessor' or any(part.endswith('head') for part in parts) or is_timm
            skipped = any(part in COUNT_OTHERS for part in parts) or name.startswith(self.ignore)
            if classifies and not skipped and isinstance(count, int) and count > 0:
                yield name, count


def _compare(counts: dict[str, int], split: str, dataset, first) -> None:
    """Compare a data set with the model and with ``first``, the split and data set of the training."""
    classes, called = _classes(dataset), _called(split, dataset)
    other = first and first[1] is not dataset
    difference = first_difference(dataset, first[1], _called(*first)) if other else ''
    wrong = [f'{name} has {count}' for name, count in counts.items() if count != len(classes)]
    if not wrong and not difference:
        return
    empty = _empty((split, dataset), first)
    if not wrong:
        advice = f'{empty}give both the same classes in the same order'
        raise RuntimeError(f'ClassCheckHook: {called} has other classes, {difference}: {advice}.')
    advice = f'set num_classes={len(classes)} there'
    if first and len(_classes(first[1])) != len(classes):
        advice = f'{difference}; give both the same classes'
    raise RuntimeError(
        f'ClassCheckHook: {called} has {len(classes)} classes, {classes[0]} to {classes[-1]}, but {", ".join(wrong)}: '
        f'{empty}{advice}.'
    )


def _empty(*sets) -> str:
    for split, dataset in filter(None, sets):
        if names := empty_folders(dataset):
            folders = ', '.join(map(repr, names[:5]))
            return f'{folders} in {dataset.img_prefix} ({split}) holds no image, remove it if it is no class, else '
    return ''


def _called(split: str, dataset) -> str:
    return f'the {split} set ({type(dataset).__name__})'


def _datasets(runner, split: str) -> Iterator:
    """Yield the unwrapped data sets of a split, if its loop is built."""
    loop = getattr(runner, f'_{split}_loop', None)
    dataset = getattr(getattr(loop, 'dataloader', None), 'dataset', None)
    if isinstance(loop, BaseLoop) and dataset is not None:
        yield from _inner(dataset)


def _inner(dataset) -> Iterator:
    wrapped = getattr(dataset, 'dataset', None)
    parts = getattr(dataset, 'datasets', None) or ([] if wrapped is None else [wrapped])
    if not parts:
        yield dataset
    for part in parts:
        yield from _inner(part)


def _classes(dataset) -> tuple:
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes') or ()
    return tuple(classes) if isinstance(classes, list | tuple) else ()
