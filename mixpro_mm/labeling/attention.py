"""Where the attention of a model lives, and whether it can be read: the same checks with a dotted path and without."""

import re
from inspect import signature

from torch import nn

from mixpro_mm.labeling.grid import patches_of
from mixpro_mm.labeling.readers import READINGS, AttentionBlock
from mixpro_mm.utils.backbone_spec import BackboneSpec, backbone_spec, find_backbone, known_backbones

__all__ = ['find_attention_block', 'parse_attention', 'untrained', 'unused']

DEVIATIONS = {  # attribute -> what a module that has it does to q and k, beyond what is read here
    'rope': 'rotates q and k after their projections',
    'logit_scale': 'compares q and k by their cosine',
    'proj_l': 'mixes its heads',
    'lambda_init': 'takes the difference of two attentions',
    'temperature': 'weighs q and k by a temperature',
    'crpe': 'factorises its attention',
    'rel_pos': 'adds a position bias of its own',
    'rel_pos_h': 'adds a position bias of its own',
    'attention_biases': 'adds a position bias of its own',
}
SHARED_BIAS = ('rel_pos_bias', 'shared_rel_pos')  # of a backbone
CLASS_TOKEN = re.compile(r'(cls|class)_?(token|emb|pos)')
ROTARY = re.compile(r'(^|\.)(pos_embed_)?(rope|rotary)|(^|\.)rot_')
PREFIXES = ('num_extra_tokens', 'num_prefix_tokens')
POOLED = {'out_type': ('featmap', 'avg_featmap'), 'global_pool': ('avg', 'max', 'avgmax', 'map')}


def parse_attention(attention: str | dict | None) -> tuple[str, str | None]:
    """(reading, path) a user asked for.

    Args:
        attention: None for the class row of a known model's last block; 'query_mean' (or 'class') for that reading of
            it; the dotted name of an attention module for the class row there; or ``dict(reading=..., path=...)``.

    Raises:
        ValueError: for an unknown reading or key, with the known ones.
        TypeError: for anything else.
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
    """The last attention block of a model, or the one that is named.

    Args:
        model: A classifier of mmpretrain (ImageClassifier, TimmClassifier) or a backbone.
        attention: As of :func:`parse_attention`. A path leads to an attention module inside ``model``, for models not
            known here; it needs ``num_heads`` and linear layers ``qkv``, ``q`` and ``kv``, or ``q`` and ``k``.

    Raises:
        ValueError: if the reading is unknown, the path leads nowhere, or the model has no such attention known here.
        TypeError: if ``attention`` is of another kind.
    """
    reading, path = parse_attention(attention)
    wanted = 'class attention' if reading == 'class' else 'attention'
    backbone = find_backbone(model)
    spec = backbone_spec(backbone)
    if path is not None:
        try:
            attn = model.get_submodule(path)
        except AttributeError as error:
            raise ValueError(
                f'attention path {path!r} leads nowhere in {type(model).__name__}: {error}; '
                f'known by name are only the readings {", ".join(sorted(READINGS))}'
            ) from None
    elif spec is None:
        raise ValueError(
            f'{type(backbone).__name__} has no {wanted} known here ({known_backbones()}); '
            f'name its last attention module with attention={_example(reading)}, or train on area labels with MaskMix'
        )
    else:
        last = spec.last_block(backbone)
        attn = getattr(last, 'attn', None)
        if attn is None:
            raise ValueError(
                f'{type(last).__name__}, the last block of {type(backbone).__name__}, has no module attn, so it has no '
                f'{wanted} known here; name such a module with attention={_example(reading)} if it has one, or train '
                'on area labels with MaskMix'
            )
    prefix = _prefix_tokens(backbone, spec, attn, reading)
    block = AttentionBlock(attn, prefix, reading, patches_of(backbone, attn))
    place = path or 'the last block'
    heads = getattr(attn, 'num_heads', None)
    if not block.projections or heads is None:
        raise ValueError(
            f'{type(attn).__name__} at {place} offers no {wanted}: '
            f'it needs num_heads and linear layers qkv, q and kv, or q and k'
        )
    if deviation := _deviation(backbone, attn):
        raise ValueError(
            f'{type(attn).__name__} at {place} {deviation}, so its {wanted} cannot be read from the projections'
        )
    if reading == 'class':
        _check_class_token(backbone, spec, attn, prefix, path)
        if _pooled(backbone, attn):
            raise untrained(model, path)
    return block


def untrained(model: nn.Module, path: str | None) -> ValueError:
    """The error about a class token whose query in the block that is read reaches no output of the model."""
    backbone = find_backbone(model)
    found = ((name, getattr(backbone, name, None)) for name in POOLED)
    setting = next((f' ({name}={value!r})' for name, value in found if isinstance(value, str)), '')
    return ValueError(
        f'the class token at {path or "the last block"} does not reach the output of {type(backbone).__name__}'
        f'{setting}, so nothing trains its class attention: attention={_mean(path)} reads the mean over the patches '
        'instead'
    )


def unused(model: nn.Module, attn: nn.Module, path: str | None) -> ValueError:
    """The error about an attention module whose output reaches no output of the model."""
    name = path or next((name for name, module in model.named_modules() if module is attn), 'the last block')
    return ValueError(
        f'{type(attn).__name__} at {name} does not reach the output of {type(find_backbone(model)).__name__}, so '
        "nothing trains its attention: name the last attention module that does, as by attention='path.to.attn'"
    )


def _example(reading: str) -> str:
    return "'path.to.attn'" if reading == 'class' else f"dict(reading='{reading}', path='path.to.attn')"


def _mean(path: str | None) -> str:
    return "'query_mean'" if path is None else f"dict(reading='query_mean', path='{path}')"


def _check_class_token(backbone: nn.Module, spec: BackboneSpec | None, attn: nn.Module, prefix: int, path) -> None:
    """Stop if row 0 is no class token.

    Raises:
        ValueError: if there is none, or none in that block.
    """
    name = type(backbone).__name__
    if spec is None:
        there = prefix > 0 and any(CLASS_TOKEN.search(parameter) for parameter, _ in backbone.named_parameters())
    else:
        there = getattr(backbone, 'cls_token', None) is not None
    if not there:
        raise ValueError(
            f'{name} was built without a class token, so it has no class attention; '
            f'attention={_mean(path)} reads the mean over its patches instead'
        )
    elsewhere = spec is not None and any(attn is module for module in backbone.modules())
    if elsewhere and not any(attn is module for module in getattr(backbone, spec.blocks).modules()):
        raise ValueError(
            f'{type(attn).__name__} at {path} has no class token: that of {name} joins the patches in '
            f'{spec.blocks}; name a module there, or attention={_mean(path)}'
        )


def _deviation(backbone: nn.Module, attn: nn.Module) -> str | None:
    """What the module does beyond softmax(q k^T) of its projections, also with what its model hands it."""
    found = next((DEVIATIONS[name] for name in DEVIATIONS if getattr(attn, name, None) is not None), None)
    if found is not None:
        return found
    if 'channel' in type(attn).__name__.lower():
        return 'attends over channels'
    if any(ROTARY.search(name) for name, _ in backbone.named_modules()) and _takes_positions(attn):
        return DEVIATIONS['rope']
    if any(isinstance(getattr(backbone, name, None), nn.Module) for name in SHARED_BIAS):
        return 'is handed a position bias by its model'
    if getattr(attn, 'num_kv_heads', attn.num_heads) != attn.num_heads:
        return f'shares {attn.num_kv_heads} heads of k among {attn.num_heads} of q'
    return None


def _takes_positions(attn: nn.Module) -> bool:
    return any(re.search('rope|rot|freq|pos', name) for name in signature(attn.forward).parameters)


def _pooled(backbone: nn.Module, attn: nn.Module) -> bool:
    """Whether the backbone puts out its patches only, and ``attn`` is the last to look at the class token."""
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
