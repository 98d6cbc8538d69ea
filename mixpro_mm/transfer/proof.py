"""The proof of a conversion: the original model and the target, each with its file, compute the same."""

import importlib
import warnings
from dataclasses import dataclass
from types import ModuleType

import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from torch import Tensor, nn
from torch.nn.functional import interpolate

from mixpro_mm.transfer.keys import Renamed, last_line, saying, some, without_place
from mixpro_mm.transfer.layouts import OWN_LAYOUT

__all__ = ['TOLERANCE', 'Proof', 'build', 'check_names', 'prove']

TOLERANCE = 1e-5  # of the largest output
HOSTS = dict(mmpretrain='mmpretrain', mixpro='mmpretrain', mmseg='mmseg', mmdet='mmdet')
PACKAGES = dict(timm='timm', mmpretrain='onedl-mmpretrain', mmseg='onedl-mmsegmentation', mmdet='onedl-mmdetection')
TIMM_NAMES = dict(embed_dims='embed_dim', num_layers='depth')
MAPS = ('mmseg', 'mmdet')  # targets that yield maps, not logits


@dataclass
class Proof:
    """What was shown."""

    loaded: str = ''  # what of the target class comes from the file; '' where its package is missing
    deviation: float | None = None  # largest difference, as a share of the largest output
    what: str = ''  # what was compared
    skipped: str = ''  # why there is no deviation


def check_names(model: nn.Module, file: Renamed) -> None:
    """Raise ``lacks ...``, ``has ... without a place`` or ``has ... that does not fit`` if names or shapes differ."""
    held, toolkit = model.state_dict(), _name(model)
    if lacking := [name for name in held if name not in file.tensors]:
        raise ValueError(f'lacks what {toolkit} has as {some(lacking)}')
    if lost := [file.origins[name][0] for name in file.tensors if name not in held]:
        raise without_place(lost, file)
    for name, tensor in file.tensors.items():
        if tensor.shape != held[name].shape:
            shapes = f'{name} of {toolkit} is of shape {tuple(held[name].shape)}, not {tuple(tensor.shape)}'
            raise ValueError(f'has {file.origins[name][0]} that does not fit: {shapes}')


def prove(
    family: ModuleType, layout: str, target: str, size: dict, source: dict[str, Tensor], hub: Renamed, result: Renamed
) -> Proof:
    """Load both files strictly and let both models see the same two random images.

    ``source`` has the names of the file, ``hub`` those of mmpretrain's classifier, ``result`` those of the target. A
    ValueError says what does not fit or agree, to follow the name of the file.
    """
    host, maps, config = HOSTS[target], target in MAPS, family.config(size, target)
    # a class with maps takes the prefix away, or there is none
    tensors = _without_prefix(result.tensors) if maps else result.tensors
    with_timm = family.TIMM_MODEL and layout != OWN_LAYOUT
    for package in (host, 'timm') if with_timm else (host,):
        if why := _missing(package):
            loaded = '' if package == host else _fill(build(config, host), tensors)
            return Proof(loaded, skipped=f'{package} is missing ({why}): pip install {PACKAGES[package]}')
    model, side = build(config, host), size.get('maps_size', size['img_size']) if maps else size['img_size']
    loaded = _fill(model, tensors)
    with saying(f'has shapes of which no {family.LABEL} can be built'):
        if with_timm:
            original, source = _timm(family, layout, size, source, side)
        else:
            original = build(family.maps(size) if maps else family.config(size, 'mmpretrain'), 'mmpretrain')
            source = {name: tensor for name, tensor in hub.tensors.items() if not (maps and name.startswith('head.'))}
            source = _without_prefix(source) if maps else source
    _fill(original, source)
    images = _images(side)
    with torch.no_grad(), saying(f'fits {_name(model)} and {_name(original)}, which cannot run with it'):
        if maps and with_timm:
            wanted = original.forward_intermediates(images, indices=1, norm=True, intermediates_only=True)
        else:
            wanted = _outputs(original(images))
        found = _outputs(model(images))
    kind = 'feature maps' if maps else 'logits' if size['classes'] else 'features'
    what = f'{kind} of {_name(model)} and {_name(original)}'
    if not all(tensor.isfinite().all() and tensor.any() for tensor in wanted):
        raise ValueError(f'cannot be proved: {what} are not finite or zero throughout in the latter')
    proof = Proof(loaded, _deviation(wanted, found), f'{what} on 2 random images of {side} px')
    if not proof.deviation <= TOLERANCE:  # NaN, too
        raise ValueError(f'was converted wrongly: {proof.what} differ by {proof.deviation:.1e} (limit {TOLERANCE:.0e})')
    return proof


def _missing(package: str) -> str:
    """Why a package cannot be imported, or ''."""
    try:
        importlib.import_module(package if package == 'timm' else f'{package}.models')
    except (ImportError, AssertionError) as error:  # the toolkits assert the version of mmcv
        return last_line(error)
    return ''


def build(config: dict, host: str) -> nn.Module:
    """The model of a config, in evaluation mode."""
    # the host's scope, for in another's a registry builds the other's class of the same name
    with warnings.catch_warnings(), DefaultScope.overwrite_default_scope(host):
        warnings.simplefilter('ignore')  # mmcv's, about XCiT's own ways
        registry = importlib.import_module(f'{host}.registry').MODELS
        with saying(f'has shapes of which {host} can build no {config["type"]}'):
            model = registry.build(ConfigDict(config))
    model.eval()  # mmseg's ViT returns None
    return model


def _timm(family: ModuleType, layout: str, size: dict, source: dict, side: int) -> tuple[nn.Module, dict[str, Tensor]]:
    """The model of timm that a file is of, and the file under its names."""
    place, _, name = family.TIMM_MODEL.partition(':')
    module = importlib.import_module(f'timm.models.{place}')
    numbers = {TIMM_NAMES.get(key, key): number for key, number in size['numbers'].items()}
    sizes = dict(img_size=side, patch_size=size['patch_size'], num_classes=size['classes'])
    model = getattr(module, name)(**numbers, **sizes).eval()
    source = module.checkpoint_filter_fn(dict(source), model) if layout == 'official' else source
    if 'head.fc.weight' in model.state_dict():  # Swin's; 'head' until timm 0.8
        source = {name.replace('head.fc.', 'head.').replace('head.', 'head.fc.'): source[name] for name in source}
    return model, source


def _fill(model: nn.Module, tensors: dict[str, Tensor]) -> str:
    """Load all of ``tensors`` into all of ``model``, and say so."""
    with saying(f'does not fit {_name(model)}'):
        model.load_state_dict(tensors)
    return f'{len(tensors)} of {len(model.state_dict())} tensors of {type(model).__name__}'


def _images(side: int) -> Tensor:
    """Two images (2, 3, side, side), coarse and fine: of noise alone, most models make nearly the same."""
    generator = torch.Generator().manual_seed(0)
    coarse, fine = (torch.randn(2, 3, cells, cells, generator=generator) for cells in (4, side))
    return interpolate(coarse, size=(side, side), mode='nearest') + fine


def _without_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix('backbone.'): tensor for name, tensor in tensors.items()}


def _outputs(value) -> tuple[Tensor, ...]:
    return (value,) if isinstance(value, Tensor) else tuple(value)


def _deviation(wanted: tuple[Tensor, ...], found: tuple[Tensor, ...]) -> float:
    """Largest difference as a share of the largest output; not finite if anything in either is not."""
    if [tensor.shape for tensor in wanted] != [tensor.shape for tensor in found]:
        return float('inf')
    shares = [(a - b).abs().max() / a.abs().max() for a, b in zip(wanted, found, strict=True)]
    return torch.stack(shares).max().item()  # of torch, whose max is NaN if any is


def _name(model: nn.Module) -> str:
    inner = getattr(model, 'backbone', model)
    return f'{type(inner).__module__.partition(".")[0]}.{type(inner).__name__}'
