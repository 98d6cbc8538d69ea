"""Whether model and data mean the same classes, before training begins."""

from collections.abc import Iterator
from types import SimpleNamespace

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop

from mixpro_mm.hooks.class_names import empty_folders, first_difference, own_fault
from mixpro_mm.registry import HOOKS, register
from mixpro_mm.utils.arguments import patterns
from mixpro_mm.utils.unwrap_model import unwrap_model

__all__ = ['ClassCheckHook']

COUNT_OTHERS = ('rpn_head', 'semantic_head')  # object or not; stuff


@register(HOOKS)
class ClassCheckHook(Hook):
    """Compares the classes of data sets and model: their number, their names and their order.

    Before training, ``num_classes`` of every head and of the data preprocessor is compared with ``classes`` of the
    data sets, and the names of the training set with those of the validation set. A head with too many classes trains
    without a word, one with too few ends in an IndexError, on a GPU in an assert of the device that names nothing.
    mmpretrain's ``ClassNumCheckHook`` and mmdet's ``NumClassCheckHook`` compare numbers where a config lists them,
    mmseg has none.

    Before every run, a test too, ``classes`` of each data set is compared with what its labels count: the categories
    of a COCO file (mmdet leaves out names that the file lacks and takes the order of the file) or folders. Wrapped data
    sets are looked into, each of a concatenation. Data sets that name no classes are passed over. A test of a
    checkpoint compares the names of as many classes that it was trained on.
    FlexibleRunner reads weights before it asks any hook, this one too.

    Args:
        ignore: Modules not to compare, by name or beginning of it: ``'decode_head.aux'``.

    Raises:
        RuntimeError: in ``before_run``, if a number or a name differs; one sentence names what does.
    """

    priority = 'VERY_HIGH'

    def __init__(self, ignore=()):
        self.ignore = patterns('ignore of ClassCheckHook', ignore)

    def before_run(self, runner) -> None:
        """Compare, before training, and before weights are read where the Runner allows it."""
        loops = {split: getattr(runner, f'_{split}_loop', None) for split in ('train', 'val', 'test')}
        sets = {
            split: list(_inner(getattr(getattr(loop, 'dataloader', None), 'dataset', None)))
            for split, loop in loops.items()
            if isinstance(loop, BaseLoop)
        }
        for split, datasets in sets.items():
            for dataset in datasets:
                if fault := own_fault(dataset):
                    raise RuntimeError(f'ClassCheckHook: {_called(split, dataset)} {fault}.')
        if 'train' not in sets:
            return
        counts = dict(self._counts(unwrap_model(runner.model)))
        first = next((('train', dataset) for dataset in sets['train'] if _classes(dataset)), None)
        for split in ('train', 'val'):
            for dataset in sets.get(split, ()):
                if _classes(dataset):
                    _compare_numbers(counts, split, dataset, first)
                    _compare_names(split, dataset, first)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Before a test: compare the classes that the checkpoint was trained on, if it says so and has as many."""
        if isinstance(runner._train_loop, BaseLoop):
            return
        classes = ((checkpoint.get('meta') or {}).get('dataset_meta') or {}).get('classes')
        trained = SimpleNamespace(metainfo=dict(classes=classes))
        for split in ('val', 'test'):
            loop = getattr(runner, f'_{split}_loop', None)
            for dataset in _inner(loop.dataloader.dataset) if isinstance(loop, BaseLoop) else ():
                if not _classes(trained) or len(_classes(dataset)) != len(classes):
                    continue
                if difference := first_difference(dataset, trained, 'the training of the checkpoint'):
                    raise RuntimeError(
                        f'ClassCheckHook: {_called(split, dataset)} has other classes, {difference}: test on the '
                        'classes of the training, in their order.'
                    )

    def _counts(self, model) -> Iterator[tuple[str, int]]:
        """Names and ``num_classes`` of what answers for classes."""
        for name, module in model.named_modules():
            parts, count = name.split('.'), getattr(module, 'num_classes', None)
            is_timm = name == 'model' and 'timm' in type(module).__module__
            answers = parts[0] == 'data_preprocessor' or any(part.endswith('head') for part in parts) or is_timm
            skipped = any(part in COUNT_OTHERS for part in parts) or name.startswith(self.ignore)
            if answers and not skipped and isinstance(count, int) and count > 0:
                yield name, count


def _compare_numbers(counts: dict[str, int], split: str, dataset, first) -> None:
    classes = _classes(dataset)
    wrong = [f'{name} has {count}' for name, count in counts.items() if count != len(classes)]
    if not wrong:
        return
    found = (
        f'ClassCheckHook: {_called(split, dataset)} has {len(classes)} classes, {classes[0]} to {classes[-1]}, but '
        f'{", ".join(wrong)}'
    )
    advice = f'set num_classes={len(classes)} there'
    if first and len(_classes(first[1])) != len(classes):
        advice = f'{first_difference(dataset, first[1], _called(*first))}; give both the same classes'
    if empty := _empty((split, dataset), first):
        advice = f'{empty}, else {advice}'
    raise RuntimeError(f'{found}: {advice}.')


def _compare_names(split: str, dataset, first) -> None:
    if not first or first[1] is dataset:
        return
    if difference := first_difference(dataset, first[1], _called(*first)):
        advice = 'give both the same classes in the same order'
        if empty := _empty((split, dataset), first):
            advice = f'{empty}, else {advice}'
        raise RuntimeError(f'ClassCheckHook: {_called(split, dataset)} has other classes, {difference}: {advice}.')


def _empty(*sets) -> str:
    """A clause on class folders without an image, '' if there are none."""
    for split, dataset in filter(None, sets):
        if names := empty_folders(dataset):
            folders = ', '.join(map(repr, names[:5]))
            return f'{folders} in {dataset.img_prefix} ({split}) holds no image, remove it if it is no class'
    return ''


def _called(split: str, dataset) -> str:
    return f'the {split} set ({type(dataset).__name__})'


def _inner(dataset) -> Iterator:
    """The data sets in wrappers."""
    wrapped = getattr(dataset, 'dataset', None)
    parts = getattr(dataset, 'datasets', None) or ([] if wrapped is None else [wrapped])
    if not parts:
        yield dataset
    for part in parts:
        yield from _inner(part)


def _classes(dataset) -> tuple:
    """Names of the classes, or () where the data set does not say."""
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes') or ()
    return tuple(classes) if isinstance(classes, list | tuple) else ()
