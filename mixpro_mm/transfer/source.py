"""The checkpoint that mmengine loads into a module of a model."""

from mmengine.model import PretrainedInit
from torch import nn

from mixpro_mm.utils.unwrap_model import unwrap_model

__all__ = ['pretrained', 'source_of']


def pretrained(module: nn.Module) -> list[dict]:
    """Return the parts of ``init_cfg`` of a module that name a checkpoint."""
    init_cfg = getattr(module, 'init_cfg', None)
    parts = init_cfg if isinstance(init_cfg, list | tuple) else [init_cfg]
    return [cfg for cfg in parts if cfg and cfg.get('type') in ('Pretrained', PretrainedInit) and cfg.get('checkpoint')]


def source_of(model: nn.Module, module: str, load_from: str | None = None) -> tuple[str, str]:
    """Return the checkpoint that mmengine loads last into a module, and the prefix of the module in it.

    Args:
        model: The whole model.
        module: Dotted name of the module in the model.
        load_from: Checkpoint of the whole model, which replaces those of ``init_cfg``.

    Raises:
        ValueError: If there is no such module, no checkpoint is named, or ``init_cfg`` is a list.
    """
    try:
        inner = unwrap_model(model.get_submodule(module))
    except AttributeError:
        names = ', '.join(name for name, _ in model.named_children())
        raise ValueError(f'{type(model).__name__} has no module {module!r}; its modules: {names}') from None
    whole, own = _single(model, 'model'), _single(inner, module)
    if load_from:
        return str(load_from), module
    if whole:
        prefix = whole.get('prefix') or ''
        return str(whole['checkpoint']), f'{prefix.rstrip(".")}.{module}' if prefix else module
    if own:
        return str(own['checkpoint']), own.get('prefix') or ''
    init_cfg = f"{module}.init_cfg=dict(type='Pretrained', checkpoint=..., prefix='backbone.')"
    raise ValueError(f"no checkpoint is named: set {init_cfg}, load_from, or this hook's checkpoint")


def _single(owner: nn.Module, name: str) -> dict:
    found = next(iter(pretrained(owner)), {})
    if found and found is not owner.init_cfg:
        raise ValueError(
            f'{name}.init_cfg is a list, after which many backbones initialize pos_embed again: use one dict'
        )
    return found
