"""Find the attention block of a model and check that its attention can be read."""

import re
from inspect import signature

from torch import nn

from mixpro_mm.labeling.grid import patches_of
from mixpro_mm.labeling.readers import READINGS, AttentionBlock
from mixpro_mm.utils.backbone_spec import BackboneSpec, backbone_spec, find_backbone, known_backbones

__all__ = ['find_attention_block', 'parse_attention', 'untrained', 'unused']

DEVIATIONS = {  # attribute -> operation on q and k that the readers do not implement
    'rope': 'rotates q and k after their projections',
    'logit_scale': 'compares q and k by their cosine',
    'proj_l': 'mixes its heads',
    'lambda_init': 'takes the difference of two attentions',
    'temperature': 'scales q and k by a temperature',
    'crpe': 'factorises its attention',
    'rel_pos': 'adds a position bias',
    'rel_pos_h': 'adds a position bias',
    'attention_biases': 'adds a position bias',
}
SHARED_BIAS = ('rel_pos_bias', 'shared_rel_pos')  # attributes of a backbone
CLASS_TOKEN = re.compile(r'(cls|class)_?(token|emb|pos)')
ROTARY = re.compile(r'(^|\.)(pos_embed_)?(rope|rotary)|(^|\.)rot_')
PREFIXES = ('num_extra_tokens', 'num_prefix_tokens')
POOLED = {'out_type': ('featmap', 'avg_featmap'), 'global_pool': ('avg', 'max', 'avgmax', 'map')}


def parse_attention(attention: str | dict | None) -> tuple[str, str | None]:
    """Return (reading, path) of the argument ``attention``.

    Args:
        attention: None for the class row of the last block; 'query_mean' or 'class' for that reading of it; the dotted
            name of an attention module for its class row; or ``dict(reading=..., path=...)``.

    Raises:
        ValueError: If a reading or key is unknown.
        TypeError: If ``attention`` has another type.
    """
    if attention is None:
        return 'class', None
    if isinstance(attention, str):
        return (attention, None) if attention in READINGS else ('class', attention)
    if not isinstance(attention, dict) or not isinstance(attention.get('path'), str | None):
        raise TypeError(f'attention must be a reading, a path, or dict(reading=..., path=...), got {attention!r}')
    if unknown := sorted(set(attention) - {'reading', 'path'}):
        raise ValueError(f'attention has no key {unknown[0]!r}; known: path, reading')
    reading = attention.get('reading', 'class')
    if reading not in list(READINGS):
        raise ValueError(f'attention reading {reading!r} is unknown; known: {", ".join(sorted(READINGS))}')
    return reading, attention.get('path')


def find_attention_block(model: nn.Module, attention: str | dict | None = None) -> AttentionBlock:
    """Return the last attention block of a model, or the one that ``attention`` names.

    Args:
        model: A classifier of mmpretrain (ImageClassifier, TimmClassifier) or a backbone.
        attention: See :func:`parse_attention`. A path names an attention module of ``model`` with ``num_heads`` and
            linear layers ``qkv``, ``q`` and ``kv``, or ``q`` and ``k``.

    Raises:
        ValueError: If the reading is unknown, the path does not exist or the model has no attention that can be read.
        TypeError: If ``attention`` has another type.
    """
    reading, path = parse_attention(attention)
    kind = 'class attention' if reading == 'class' else 'attention'
    backbone = find_backbone(model)
    spec = backbone_spec(backbone)
    if path is not None:
        try:
            attn = model.get_submodule(path)
        except AttributeError as error:
            raise ValueError(
                f'attention path {path!r} does not exist in {type(model).__name__}: {error}; '
                f'known readings: {", ".join(sorted(READINGS))}'
            ) from None
    elif spec is None:
        raise ValueError(
            f'{type(backbone).__name__} has no known {kind} (known: {known_backbones()}); '
            f'name its last attention module with attention={_example(reading)}, or use area labels with MaskMix'
        )
    else:
        last = spec.last_block(backbone)
        attn = getattr(last, 'attn', None)
        if attn is None:
            raise ValueError(
                f'{type(last).__name__}, the last block of {type(backbone).__name__}, has no module attn; '
                f'name its attention module with attention={_example(reading)}, or use area labels with MaskMix'
            )
    prefix = _prefix_tokens(backbone, spec, attn, reading)
    block = AttentionBlock(attn, prefix, reading, patches_of(backbone, attn))
    place = path or 'the last block'
    heads = getattr(attn, 'num_heads', None)
    if not block.projections or heads is None:
        raise ValueError(
            f'{type(attn).__name__} at {place} has no {kind}: '
            f'it needs num_heads and linear layers qkv, q and kv, or q and k'
        )
    if deviation := _deviation(backbone, attn):
        raise ValueError(
            f'{type(attn).__name__} at {place} {deviation}, so its {kind} cannot be read from the projections'
        )
    if reading == 'class':
        _check_class_token(backbone, spec, attn, prefix, path)
        if _pooled(backbone, attn):
            raise untrained(model, path)
    return block


def untrained(model: nn.Module, path: str | None) -> ValueError:
    """Return the error about a class token whose query reaches no output of the model."""
    backbone = find_backbone(model)
    found = ((name, getattr(backbone, name, None)) for name in POOLED)
    setting = next((f' ({name}={value!r})' for name, value in found if isinstance(value, str)), '')
    return ValueError(
        f'the class token at {path or "the last block"} does not reach the output of {type(backbone).__name__}'
        f'{setting}, so its class attention is not trained: use attention={_mean(path)} for the mean over the patches'
    )


def unused(model: nn.Module, attn: nn.Module, path: str | None) -> ValueError:
    """Return the error about an attention module whose output reaches no output of the model."""
    name = path or next((name for name, module in model.named_modules() if module is attn), 'the last block')
    return ValueError(
        f'{type(attn).__name__} at {name} does not reach the output of {type(find_backbone(model)).__name__}, so '
        "its attention is not trained: name the last attention module that does with attention='path.to.attn'"
    )


def _example(reading: str) -> str:
    return "'path.to.attn'" if reading == 'class' else f"dict(reading='{reading}', path='path.to.attn')"


def _mean(path: str | None) -> str:
    return "'query_mean'" if path is None else f"dict(reading='query_mean', path='{path}')"


def _check_class_token(backbone: nn.Module, spec: BackboneSpec | None, attn: nn.Module, prefix: int, path) -> None:
    """Raise a ValueError if row 0 of the attention is not a class token."""
    name = type(backbone).__name__
    if spec is None:
        exists = prefix > 0 and any(CLASS_TOKEN.search(parameter) for parameter, _ in backbone.named_parameters())
    else:
        exists = getattr(backbone, 'cls_token', None) is not None
    if not exists:
        raise ValueError(
            f'{name} was built without a class token, so it has no class attention; '
            f'use attention={_mean(path)} for the mean over its patches'
        )
    elsewhere = spec is not None and any(attn is module for module in backbone.modules())
    if elsewhere and not any(attn is module for module in getattr(backbone, spec.blocks).modules()):
        raise ValueError(
            f'{type(attn).__name__} at {path} has no class token: {name} adds it in '
            f'{spec.blocks}; name a module there, or use attention={_mean(path)}'
        )


def _deviation(backbone: nn.Module, attn: nn.Module) -> str | None:
    """Return what the module does beyond softmax(q k^T) of its projections, or None."""
    found = next((DEVIATIONS[name] for name in DEVIATIONS if getattr(attn, name, None) is not None), None)
    if found is not None:
        return found
    if 'channel' in type(attn).__name__.lower():
        return 'attends over channels'
    if any(ROTARY.search(name) for name, _ in backbone.named_modules()) and _takes_positions(attn):
        return DEVIATIONS['rope']
    if any(isinstance(getattr(backbone, name, None), nn.Module) for name in SHARED_BIAS):
        return 'gets a position bias from its model'
    if getattr(attn, 'num_kv_heads', attn.num_heads) != attn.num_heads:
        return f'shares {attn.num_kv_heads} heads of k among {attn.num_heads} of q'
    return None


def _takes_positions(attn: nn.Module) -> bool:
    return any(re.search('rope|rot|freq|pos', name) for name in signature(attn.forward).parameters)


def _pooled(backbone: nn.Module, attn: nn.Module) -> bool:
    """Return whether the output has only patches and ``attn`` is the last module to see the class token."""
    alike = [module for module in backbone.modules() if type(module) is type(attn)]
    pooled = any(getattr(backbone, name, None) in values for name, values in POOLED.items())
    return pooled and alike[-1:] == [attn] and not getattr(backbone, 'pool_include_prefix', False)


def _prefix_tokens(backbone: nn.Module, spec: BackboneSpec | None, attn: nn.Module, reading: str) -> int:
    if spec is None:
        token = int(reading == 'class' or getattr(backbone, 'cls_token', None) is not None)
        return next((getattr(backbone, n) for n in PREFIXES if hasattr(backbone, n)), token)
    blocks = getattr(backbone, spec.blocks).modules()
    joined = reading == 'class' or any(attn is module for module in blocks)  # PVT: not before stage 4
    return spec.prefix_tokens(backbone) if joined else 0
