"""Whether model and data mean the same number of classes, before training begins."""

from collections.abc import Iterator

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop

from mixpro_mm.arguments import patterns
from mixpro_mm.registry import HOOKS, register
from mixpro_mm.wrapped import unwrap

__all__ = ['ClassCheckHook']

COUNT_OTHERS = ('rpn_head', 'semantic_head')  # object or not; stuff


@register(HOOKS)
class ClassCheckHook(Hook):
    """Compares ``num_classes`` of every head and of the data preprocessor with ``classes`` of the data sets.

    A head with too many classes trains without a word, one with too few ends in an IndexError, on a GPU in an assert of
    the device that names nothing. mmpretrain's ``ClassNumCheckHook`` and mmdet's ``NumClassCheckHook`` compare heads
    where a config lists them, mmseg has none. Data sets that name no classes are passed over.
    FlexibleRunner reads weights before it asks any hook, this one too.

    Args:
        ignore: Modules not to compare, by name or beginning of it: ``'decode_head.aux'``.

    Raises:
        RuntimeError: in ``before_run`` of a training, if a number differs; one sentence names all that do.
    """

    priority = 'VERY_HIGH'

    def __init__(self, ignore=()):
        self.ignore = patterns('ignore of ClassCheckHook', ignore)

    def before_run(self, runner) -> None:
        """Compare, before training, and before weights are read where the Runner allows it."""
        if not isinstance(runner._train_loop, BaseLoop):
            return
        model = unwrap(runner.model)
        counts = dict(self._counts(model))
        loops = dict(train=runner._train_loop, val=runner._val_loop)
        for split, loop in loops.items():
            dataset = getattr(getattr(loop, 'dataloader', None), 'dataset', None)
            classes = _classes(dataset)
            wrong = [f'{name} has {count}' for name, count in counts.items() if classes and count != len(classes)]
            if wrong:
                kind = type(_innermost(dataset)).__name__
                raise RuntimeError(
                    f'ClassCheckHook: the {split} set ({kind}) has {len(classes)} classes, {classes[0]} to '
                    f'{classes[-1]}, but {", ".join(wrong)}: set num_classes={len(classes)} there.'
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


def _innermost(dataset):
    while True:
        inner = getattr(dataset, 'dataset', None) or next(iter(getattr(dataset, 'datasets', ())), None)
        if inner is None:
            return dataset
        dataset = inner


def _classes(dataset) -> tuple:
    """Names of the classes, or () where the data set does not say."""
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes') or ()
    return tuple(classes) if isinstance(classes, list | tuple) else ()
