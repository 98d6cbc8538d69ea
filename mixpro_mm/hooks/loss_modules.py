"""Parts of a run that ``LabelingHook`` uses: augments, loss, moving average and progress."""

from mmengine.hooks import EMAHook
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel

from mixpro_mm.utils.unwrap_model import in_shards, unwrap_model

__all__ = [
    'average_of',
    'each',
    'first_image',
    'label_augments',
    'loss_module',
    'missing',
    'progress_of',
    'refuse_late_weights',
    'refuse_shards',
]


def refuse_late_weights(runner) -> None:
    """Raise a ValueError for FSDP in a plain Runner, which initializes weights after sharding them."""
    model = runner.model
    late = isinstance(runner, Runner) and isinstance(model, FullyShardedDataParallel)
    if late and not getattr(unwrap_model(model), 'is_init', False):
        raise ValueError(
            f'{type(model).__name__} as model_wrapper_cfg does not work with Runner, which initializes weights after '
            "sharding them: train with runner_type='FlexibleRunner' and strategy=dict(type='FSDPStrategy', "
            f"model_wrapper=dict(type='{type(model).__name__}', use_orig_params=True)), or without model_wrapper_cfg"
        )


def refuse_shards(model: nn.Module, augments: list) -> None:
    """Raise a ValueError if a method would run a sharded model outside its wrapper, which gathers the weights."""
    name = next((type(augment).__name__ for augment in augments if getattr(augment, 'runs_model', False)), None)
    if name is not None and (holder := in_shards(model)):
        raise ValueError(
            f'{name} runs the model in training, but {holder} shards its weights: train with DDPStrategy or ZeRO 0 to '
            '2 of DeepSpeed, or use a method that does not run the model, such as MixPro'
        )


def label_augments(model: nn.Module) -> list:
    """Return the batch augments with pending labels, in the order of the config."""
    random_augment = getattr(getattr(model, 'data_preprocessor', None), 'batch_augments', None)
    return [augment for augment in getattr(random_augment, 'augments', []) if hasattr(augment, 'pop_target')]


def missing(augments: list, others: list) -> list:
    """Return the augments that are not among the others, compared by identity."""
    return [augment for augment in augments if not any(augment is other for other in others)]


def each(augments: list, method: str, *args) -> None:
    """Call a method of each augment that has it."""
    for augment in augments:
        if hasattr(augment, method):
            getattr(augment, method)(*args)


def first_image(model: nn.Module, data_batch) -> Tensor | None:
    """Return the first image of a batch, preprocessed and unmixed (1, C, H, W), or None without ``inputs``."""
    inputs = data_batch.get('inputs') if isinstance(data_batch, dict) else None
    if inputs is None:
        return None
    images = model.data_preprocessor(dict(inputs=inputs[:1]), False)['inputs']
    return images.to(next(model.parameters()).dtype)


def loss_module(model: nn.Module) -> nn.Module | None:
    """Return ``head.loss_module``, or ``loss_module`` of a classifier without a head."""
    loss = getattr(getattr(model, 'head', None), 'loss_module', None)
    return getattr(model, 'loss_module', None) if loss is None else loss


def average_of(runner) -> nn.Module | None:
    """Return the moving average of EMAHook, or None."""
    averages = (getattr(hook, 'ema_model', None) for hook in runner.hooks if isinstance(hook, EMAHook))
    return next((average.module for average in averages if average is not None), None)


def progress_of(runner) -> float:
    """Return the finished fraction of the epochs, or of the iterations in an iteration-based loop."""
    if isinstance(runner.train_loop, IterBasedTrainLoop):
        return runner.iter / runner.max_iters
    return runner.epoch / runner.max_epochs
