"""The proof of a conversion: the original model and the target, each with its file, compute the same."""

import importlib
import warnings
from dataclasses import dataclass

import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from torch import Tensor, nn
from torch.nn.functional import interpolate

from mixpro_mm.transfer.coverage import Coverage, compare
from mixpro_mm.transfer.keys import last_line, saying, some
from mixpro_mm.transfer.layouts import OWN_LAYOUT, Family, Original

__all__ = ['TOLERANCE', 'Proof', 'prove']

TOLERANCE = 1e-5  # of the largest output
HOSTS = dict(mmpretrain='mmpretrain', mixpro='mmpretrain', mmseg='mmseg', mmdet='mmdet')
PACKAGES = dict(timm='timm', mmpretrain='onedl-mmpretrain', mmseg='onedl-mmsegmentation', mmdet='onedl-mmdetection')
MAPS = ('mmseg', 'mmdet')  # targets that yield maps, not logits


@dataclass
class Proof:
    """What was shown."""

    coverage: Coverage | None = None  # of the target class; None where its package is missing
    deviation: float | None = None  # largest difference, as a share of the largest output
    what: str = ''  # what was compared
    skipped: str = ''  # why there is no deviation


def prove(
    family: Family, layout: str, target: str, size: dict, source: dict[str, Tensor], result: dict[str, Tensor]
) -> Proof:
    """Load both files strictly and let both models see the same two random images.

    Args:
        family, layout, target, size: What the file is and shall become.
        source: Tensors of the file that are not dropped on purpose, under their own names.
        result: Tensors for the target.

    Raises:
        ValueError: What does not fit or agree, to follow the name of the file.
    """
    host, maps, config = HOSTS[target], target in MAPS, family.config(size, target)
    if maps:
        result = _without_prefix(result)  # such a class takes the prefix away, or there is none
    for package in (host, 'timm') if family.needs_timm and layout != OWN_LAYOUT else (host,):
        if why := _missing(package):
            skipped = f'{package} is missing ({why}): pip install {PACKAGES[package]}'
            coverage = None if package == host else _fill(_build(config, host), result)
            return Proof(coverage, skipped=skipped)
    model = _build(config, host)
    coverage = _fill(model, result)
    with saying(f'has shapes of which no {family.label} can be built'):
        original = (
            _own(family.maps(size) if maps else config, maps) if layout == OWN_LAYOUT else family.original(size, maps)
        )
    with saying(f'does not fit {original.name}'):
        original.load(source)
    side = family.side(size, maps)
    images = _images(side)
    with torch.no_grad(), saying(f'fits {_name(model)} and {original.name}, which cannot run with it'):
        wanted, found = original.read(images), _outputs(model(images))
    what = f'{"feature maps" if maps else "logits" if size["classes"] else "features"} of {_name(model)} and '
    proof = Proof(coverage, _deviation(wanted, found), f'{what}{original.name} on 2 random images of {side} px')
    if not all(tensor.isfinite().all() and tensor.any() for tensor in wanted):
        raise ValueError(f'cannot be proved: {what}{original.name} are not finite or zero throughout in the latter')
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


def _build(config: dict, host: str) -> nn.Module:
    # the host's scope, for in another's a registry builds the other's class of the same name
    with warnings.catch_warnings(), DefaultScope.overwrite_default_scope(host):
        warnings.simplefilter('ignore')  # mmcv's, about XCiT's own ways
        registry = importlib.import_module(f'{host}.registry').MODELS
        with saying(f'has shapes of which {host} can build no {config["type"]}'):
            model = registry.build(ConfigDict(config))
    model.eval()
    return model


def _fill(model: nn.Module, result: dict[str, Tensor]) -> Coverage:
    """Load all of ``result`` into all of ``model``."""
    with saying(f'does not fit {_name(model)}'):
        model.load_state_dict(result, strict=False)
        coverage = compare(model, result)
    if coverage.complete and not (coverage.dropped or coverage.resized):
        return coverage
    lost = coverage.missing + coverage.altered + coverage.unexpected + coverage.dropped
    lost += [shapes['name'] for shapes in coverage.mismatched + coverage.resized]
    raise ValueError(f'does not fit {_name(model)}, where these do not come over: {some(lost)}')


def _own(config: dict, maps: bool) -> Original:
    """What a pre-training of ours fills: the backbone with maps, or the classifier."""
    model = _build(config, 'mmpretrain')

    def load(tensors: dict[str, Tensor]) -> None:
        if not maps:
            model.load_state_dict(tensors)
            return
        model.load_state_dict(_without_prefix({key: tensors[key] for key in tensors if not key.startswith('head.')}))

    return Original(_name(model), load, lambda images: _outputs(model(images)))


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
    pairs = zip(wanted, found, strict=True)
    shares = [(a - b).abs().max() / a.abs().max() for a, b in pairs]
    return torch.stack(shares).max().item()  # of torch, whose max is NaN if any is


def _name(model: nn.Module) -> str:
    inner = getattr(model, 'backbone', model)
    return f'{type(inner).__module__.partition(".")[0]}.{type(inner).__name__}'
