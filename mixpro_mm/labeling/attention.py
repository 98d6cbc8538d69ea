"""Find the attention block of a model and check that its attention can be read."""

import re
from inspect import signature

from torch import nn

from mixpro_mm.labeling.grid import patches_of
from mixpro_mm.labeling.readers import READINGS, AttentionBlock
from mixpro_mm.utils.arguments import one_of
from mixpro_mm.utils.backbone_spec import backbone_spec, find_backbone, known_backbones

__all__ = ['find_attention_block', 'parse_attention', 'untrained']

# attributes of modules, or of backbones with a shared bias, that compute more than softmax(q k^T)
DEVIATIONS = ('rope', 'logit_scale', 'proj_l', 'lambda_init', 'temperature', 'crpe', 'rel_pos', 'rel_pos_h')
DEVIATIONS += ('attention_biases', 'rel_pos_bias', 'shared_rel_pos')
CLASS_TOKEN = re.compile(r'(cls|class)_?(token|emb|pos)')
ROTARY = re.compile(r'(^|\.)(pos_embed_)?(rope|rotary)|(^|\.)rot_')
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
    if isinstance(attention, str | None):
        attention = dict(reading=attention) if attention in READINGS else dict(path=attention)
    if not isinstance(attention, dict) or not isinstance(attention.get('path'), str | None):
        raise TypeError(f'attention must be a reading, a path, or dict(reading=..., path=...), got {attention!r}')
    if unknown := sorted(set(attention) - {'reading', 'path'}):
        raise ValueError(f'attention has no key {unknown[0]!r}; known: path, reading')
    return one_of('attention reading', attention.get('reading', 'class'), READINGS), attention.get('path')


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
    spec, name = backbone_spec(backbone := find_backbone(model)), type(backbone).__name__
    if path is not None:
        try:
            attn = model.get_submodule(path)
        except AttributeError as error:
            what = f'{error}; known readings: {", ".join(sorted(READINGS))}'
            raise ValueError(f'attention path {path!r} does not exist in {type(model).__name__}: {what}') from None
    else:
        attn = getattr(spec.last_block(backbone), 'attn', None) if spec else None
        if attn is None:
            example = "'path.to.attn'" if reading == 'class' else _query_mean('path.to.attn')
            raise ValueError(
                f'{name} has no known {kind} (known: attn in the last block of {known_backbones()}); '
                f'name its last attention module with attention={example}, or use area labels with MaskMix'
            )
    token = getattr(backbone, 'cls_token', None) is not None
    if spec is None:
        prefix = getattr(backbone, 'num_prefix_tokens', int(reading == 'class' or token))
        prefix = getattr(backbone, 'num_extra_tokens', prefix)
        token = prefix > 0 and any(CLASS_TOKEN.search(key) for key, _ in backbone.named_parameters())
    else:
        joined = attn in [*getattr(backbone, spec.blocks).modules()] or attn not in [*backbone.modules()]
        token, prefix = token and joined, spec.prefix_tokens(backbone) if joined else 0
    block = AttentionBlock(attn, prefix, reading, patches_of(backbone))
    place = f'{type(attn).__name__} at {path or "the last block"}'
    if not block.projections or getattr(attn, 'num_heads', None) is None:
        raise ValueError(f'{place} has no {kind}: it needs num_heads and linear layers qkv, q and kv, or q and k')
    if deviation := _deviation(backbone, attn):
        raise ValueError(f'{place} computes more than softmax(q k^T): {deviation}, so its {kind} cannot be read')
    if reading == 'class' and not token:
        advice = f'use attention={_query_mean(path)} for the mean over its patches'
        raise ValueError(f'{name} has no class token at {path or "the last block"}: {advice}')
    alike = [module for module in backbone.modules() if type(module) is type(attn)]
    pooled = any(getattr(backbone, key, None) in values for key, values in POOLED.items())
    pooled = pooled and not getattr(backbone, 'pool_include_prefix', False)
    if reading == 'class' and pooled and alike[-1:] == [attn]:  # the last module to see the class token
        raise untrained(model, attn, path)
    return block


def untrained(model: nn.Module, attn: nn.Module, path: str | None, class_token: bool = True) -> ValueError:
    """Return the error about a class token, or else an attention module, that reaches no output of the model."""
    kind = type(backbone := find_backbone(model)).__name__
    name = path or next((name for name, module in model.named_modules() if module is attn), 'the last block')
    if class_token:
        pools = {key: value for key in POOLED if isinstance(value := getattr(backbone, key, None), str)}
        setting = ''.join(f' ({key}={value!r})' for key, value in pools.items())
        what = f'the class token at {name} does not reach the output of {kind}{setting}, so its class attention'
        advice = f'use attention={_query_mean(path)} for the mean over the patches'
    else:
        what = f'{type(attn).__name__} at {name} does not reach the output of {kind}, so its attention'
        advice = "name the last attention module that does with attention='path.to.attn'"
    return ValueError(f'{what} is not trained: {advice}')


def _query_mean(path: str | None) -> str:
    return "'query_mean'" if path is None else f"dict(reading='query_mean', path='{path}')"


def _deviation(backbone: nn.Module, attn: nn.Module) -> str | None:
    """Return what the module does beyond softmax(q k^T) of its projections, or None."""
    for name in DEVIATIONS:
        if getattr(attn, name, None) is not None or isinstance(getattr(backbone, name, None), nn.Module):
            return name
    if 'channel' in type(attn).__name__.lower():
        return 'over channels'
    positions = any(re.search('rope|rot|freq|pos', name) for name in signature(attn.forward).parameters)
    if positions and any(ROTARY.search(name) for name, _ in backbone.named_modules()):
        return 'rope'
    shared = getattr(attn, 'num_kv_heads', attn.num_heads)
    return None if shared == attn.num_heads else f'num_kv_heads={shared}'
