"""What ``LabelingHook`` looks up in a run: the model, its augments, its loss, its moving average, its progress."""

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
    """Stop a plain Runner with FSDP, which draws the weights after they were sharded: no tensor is whole by then.

    Raises:
        ValueError: if that is so.
    """
    model = runner.model
    late = isinstance(runner, Runner) and isinstance(model, FullyShardedDataParallel)
    if late and not getattr(unwrap_model(model), 'is_init', False):
        raise ValueError(
            f'{type(model).__name__} as model_wrapper_cfg does not go with Runner, which draws the weights when they '
            "are in shards already: train with runner_type='FlexibleRunner' and strategy=dict(type='FSDPStrategy', "
            f"model_wrapper=dict(type='{type(model).__name__}', use_orig_params=True)), or without model_wrapper_cfg"
        )


def refuse_shards(model: nn.Module, augments: list) -> None:
    """Stop where a method would run a model whose weights lie in shards, which only the wrapper brings together.

    Ranks that draw different methods would also wait for each other's weights.

    Raises:
        ValueError: naming the method, the wrapper and what to do.
    """
    name = next((type(augment).__name__ for augment in augments if getattr(augment, 'runs_model', False)), None)
    if name is not None and (holder := in_shards(model)):
        raise ValueError(
            f'{name} runs the model in training on its own, but {holder} holds its weights in shards: train with '
            'DDPStrategy or ZeRO 0 to 2 of DeepSpeed, or take a method that does not run it, such as MixPro'
        )


def label_augments(model: nn.Module) -> list:
    """The batch augments that keep their labels open, in the order of the config."""
    random_augment = getattr(getattr(model, 'data_preprocessor', None), 'batch_augments', None)
    return [augment for augment in getattr(random_augment, 'augments', []) if hasattr(augment, 'pop_target')]


def missing(augments: list, others: list) -> list:
    """The augments that are none of the others."""
    return [augment for augment in augments if not any(augment is other for other in others)]


def each(augments: list, method: str, *args) -> None:
    """Call a method of every augment that has it; one of a user's own may do without."""
    for augment in augments:
        if hasattr(augment, method):
            getattr(augment, method)(*args)


def first_image(model: nn.Module, data_batch) -> Tensor | None:
    """(1, C, H, W) the first image of a batch as the model takes it, unmixed; None if the batch has no ``inputs``."""
    inputs = data_batch.get('inputs') if isinstance(data_batch, dict) else None
    if inputs is None:
        return None
    images = model.data_preprocessor(dict(inputs=inputs[:1]), False)['inputs']
    return images.to(next(model.parameters()).dtype)


def loss_module(model: nn.Module) -> nn.Module | None:
    """The loss of the head, or of a classifier without one."""
    loss = getattr(getattr(model, 'head', None), 'loss_module', None)
    return getattr(model, 'loss_module', None) if loss is None else loss


def average_of(runner) -> nn.Module | None:
    """The moving average that EMAHook keeps of the classifier, if there is one."""
    averages = (getattr(hook, 'ema_model', None) for hook in runner.hooks if isinstance(hook, EMAHook))
    return next((average.module for average in averages if average is not None), None)


def progress_of(runner) -> float:
    """Share of the epochs that are done, or of the iterations where the loop counts those."""
    if isinstance(runner.train_loop, IterBasedTrainLoop):
        return runner.iter / runner.max_iters
    return runner.epoch / runner.max_epochs
