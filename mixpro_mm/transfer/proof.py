"""Verification of a conversion: the original and the converted model compute the same."""

import importlib
import warnings
from dataclasses import dataclass
from types import ModuleType

import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from torch import Tensor, nn
from torch.nn.functional import interpolate

from mixpro_mm.transfer.keys import Renamed, last_line, one_line, some, without_place
from mixpro_mm.transfer.layouts import OWN_LAYOUT
from mixpro_mm.transfer.layouts.family import HUGGING_FACE

__all__ = ['TOLERANCE', 'Proof', 'build', 'check_names', 'prove']

TOLERANCE = 1e-5  # of the largest output
TOOLKITS = dict(mmpretrain='mmpretrain', mixpro='mmpretrain', mmseg='mmseg', mmdet='mmdet', timm='timm')
PACKAGES = dict(timm='timm', mmpretrain='onedl-mmpretrain', mmseg='onedl-mmsegmentation', mmdet='onedl-mmdetection')
TIMM_NAMES = dict(embed_dims='embed_dim', num_layers='depth')
MAPS = ('mmseg', 'mmdet')  # targets with feature maps instead of logits


@dataclass
class Proof:
    """Result of :func:`prove`."""

    loaded: str = ''  # number of tensors loaded; '' if the package of the target is missing
    deviation: float | None = None  # largest difference, relative to the largest output
    what: str = ''  # outputs compared
    skipped: str = ''  # why there is no deviation


def check_names(model: nn.Module, file: Renamed) -> None:
    """Raise ``lacks ...``, ``has ... without a place`` or ``has ... that does not fit`` if names or shapes differ."""
    held, toolkit = model.state_dict(), _name(model)
    if missing := [name for name in held if name not in file.tensors]:
        raise ValueError(f'lacks {some(missing)} of {toolkit}')
    if lost := [file.origins[name][0] for name in file.tensors if name not in held]:
        raise without_place(lost, file)
    for name, tensor in file.tensors.items():
        if tensor.shape != held[name].shape:
            shapes = f'{name} of {toolkit} is of shape {tuple(held[name].shape)}, not {tuple(tensor.shape)}'
            raise ValueError(f'has {file.origins[name][0]} that does not fit: {shapes}')


def prove(
    family: ModuleType, layout: str, target: str, size: dict, source: dict[str, Tensor], hub: Renamed, result: Renamed
) -> Proof:
    """Load both models strictly and compare their outputs for two random images.

    ``source`` has the names of the file, ``hub`` those of mmpretrain's classifier, ``result`` those of the target.

    Raises:
        ValueError: If a model cannot be built or loaded, or outputs differ.
    """
    toolkit, maps, config = TOOLKITS[target], target in MAPS, family.config(size, target)
    tensors = _without_prefix(result.tensors) if maps else result.tensors  # as the class of the target loads them
    with_timm = family.TIMM_MODEL and layout not in (OWN_LAYOUT, *HUGGING_FACE)
    for package in (toolkit, 'timm') if with_timm else (toolkit,):
        if why := _missing(package):
            loaded = '' if package == toolkit else _fill(build(config, toolkit), tensors)
            return Proof(loaded, skipped=f'{package} is missing ({why}): pip install {PACKAGES[package]}')
    model, side = build(config, toolkit), size.get('maps_size', size['img_size']) if maps else size['img_size']
    loaded = _fill(model, tensors)
    if layout in HUGGING_FACE and result is hub:
        return Proof(loaded, skipped='the model of transformers is not compared, only names and shapes')
    with one_line(f'has shapes that {family.LABEL} does not support'):
        if with_timm:
            original, source = _timm(family, layout, size, source, side)
        else:
            original = build(family.maps(size) if maps else family.config(size, 'mmpretrain'), 'mmpretrain')
            source = {name: tensor for name, tensor in hub.tensors.items() if not (maps and name.startswith('head.'))}
            source = _without_prefix(source) if maps else source
    _fill(original, source)
    images = _images(side)
    with torch.no_grad(), one_line(f'can be loaded but not run by {_name(model)} and {_name(original)}'):
        if maps and with_timm:
            wanted = original.forward_intermediates(images, indices=1, norm=True, intermediates_only=True)
        else:
            wanted = original(images)
        outputs = (wanted, model(images))
    wanted, found = ((each,) if isinstance(each, Tensor) else tuple(each) for each in outputs)
    kind = 'feature maps' if maps else 'logits' if size['classes'] else 'features'
    what = f'{kind} of {_name(model)} and {_name(original)}'
    if not all(tensor.isfinite().all() and tensor.any() for tensor in wanted):
        raise ValueError(f'cannot be verified: {what} are not finite or all zero')
    proof = Proof(loaded, _deviation(wanted, found), f'{what} on 2 random images of {side} px')
    if not proof.deviation <= TOLERANCE:  # also for NaN
        raise ValueError(f'was converted wrongly: {proof.what} differ by {proof.deviation:.1e} (limit {TOLERANCE:.0e})')
    if layout in HUGGING_FACE:
        proof.what += '; the model of transformers is not compared'
    return proof


def _missing(package: str) -> str:
    """Return why a package cannot be imported, or ''."""
    try:
        importlib.import_module(package if package == 'timm' else f'{package}.models')
    except (ImportError, AssertionError) as error:  # the toolkits assert the version of mmcv
        return last_line(error)
    return ''


def build(config: dict, toolkit: str) -> nn.Module:
    """Build the model of a config in evaluation mode."""
    if toolkit == 'timm':
        settings = dict(config)
        return importlib.import_module('timm').create_model(settings.pop('type'), **settings).eval()
    # in the scope of another toolkit, a registry builds that toolkit's class of the same name
    with warnings.catch_warnings(), DefaultScope.overwrite_default_scope(toolkit):
        warnings.simplefilter('ignore')  # of mmcv about XCiT
        registry = importlib.import_module(f'{toolkit}.registry').MODELS
        with one_line(f'has shapes that {config["type"]} of {toolkit} does not support'):
            model = registry.build(ConfigDict(config))
    model.eval()  # returns None in mmseg's ViT
    return model


def _timm(family: ModuleType, layout: str, size: dict, source: dict, side: int) -> tuple[nn.Module, dict[str, Tensor]]:
    """Return the timm model of a file, and the tensors under its names."""
    place, _, name = family.TIMM_MODEL.partition(':')
    module = importlib.import_module(f'timm.models.{place}')
    numbers = {TIMM_NAMES.get(key, key): number for key, number in size['numbers'].items()}
    sizes = dict(img_size=side, patch_size=size['patch_size'], num_classes=size['classes'])
    model = getattr(module, name)(**numbers, **sizes).eval()
    source = module.checkpoint_filter_fn(dict(source), model) if layout == 'official' else source
    if 'head.fc.weight' in model.state_dict():  # Swin; 'head' before timm 0.8
        source = {name.replace('head.fc.', 'head.').replace('head.', 'head.fc.'): source[name] for name in source}
    return model, source


def _fill(model: nn.Module, tensors: dict[str, Tensor]) -> str:
    with one_line(f'does not fit {_name(model)}'):
        model.load_state_dict(tensors)
    return f'{len(tensors)} of {len(model.state_dict())} tensors of {type(model).__name__}'


def _images(side: int) -> Tensor:
    """Draw two images (2, 3, side, side) of coarse and fine noise, because models hardly react to fine noise alone."""
    generator = torch.Generator().manual_seed(0)
    coarse, fine = (torch.randn(2, 3, cells, cells, generator=generator) for cells in (4, side))
    return interpolate(coarse, size=(side, side), mode='nearest') + fine


def _without_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix('backbone.'): tensor for name, tensor in tensors.items()}


def _deviation(wanted: tuple[Tensor, ...], found: tuple[Tensor, ...]) -> float:
    """Return the largest relative difference; not finite if shapes differ or a value is not finite."""
    if [tensor.shape for tensor in wanted] != [tensor.shape for tensor in found]:
        return float('inf')
    shares = [(a - b).abs().max() / a.abs().max() for a, b in zip(wanted, found, strict=True)]
    return torch.stack(shares).max().item()  # unlike Python's max, NaN if any is


def _name(model: nn.Module) -> str:
    inner = getattr(model, 'backbone', model)
    return f'{type(inner).__module__.partition(".")[0]}.{type(inner).__name__}'
