"""Conversion of checkpoints from other projects, and to timm."""

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch

from mixpro_mm.transfer.keys import Renamed, last_line, rename, some, with_shape
from mixpro_mm.transfer.layouts import LOSS, OWN_LAYOUT, TARGETS, recognise, vit, without_wrapping
from mixpro_mm.transfer.proof import Proof, build, check_names, prove
from mixpro_mm.utils.checkpoint import Checkpoint, CodeInCheckpointError, read_checkpoint
from mixpro_mm.utils.files import replacing
from mixpro_mm.version import __version__

__all__ = ['TARGETS', 'Conversion', 'convert', 'uncommon_entry']


@dataclass
class Conversion:
    """Result of :func:`convert`."""

    file: Checkpoint
    family: ModuleType
    layout: str
    target: str
    size: dict
    renamed: Renamed
    proof: Proof
    prefix: str  # of the model in the file

    @property
    def config(self) -> dict:
        """Config of the verified model, or of its backbone for mmseg and mmdet."""
        return self.family.config(self.size, self.target)


def convert(source, destination, target, trust=False, heads=None, take=None) -> Conversion:
    """Convert a checkpoint, verify the result, and write it with the keys ``state_dict`` and ``meta``.

    Args:
        source: File to read.
        destination: File to write; it is left alone if the conversion fails.
        target: One of ``TARGETS``.
        trust: Allow code in the file to run.
        heads: Number of heads of a DeiT or ViT. Default: one per 64 channels.
        take: Name of the mapping in the file to convert, such as ``'model_ema'``.

    Raises:
        FileNotFoundError, ValueError: If the file cannot be read, converted, verified or written.
    """
    source, destination = Path(source), Path(destination)
    same = destination.exists() and source.exists() and destination.samefile(source)
    if same or destination.resolve() == source.resolve():
        raise ValueError(f'{destination} is the source itself; name another file to write to.')
    if destination.suffix == '.safetensors' and target != 'timm':
        raise ValueError(f'{destination} must end in .pth; mmengine does not read safetensors.')
    try:
        file = read_checkpoint(source, trust, take)
    except CodeInCheckpointError as error:
        warning = 'with --trust it runs with your permissions, so use it only if you trust the author of the file'
        raise ValueError(f'{str(error).rstrip(".")}; {warning}.') from error
    try:
        conversion = _convert(file, target, heads)
    except ValueError as error:
        raise ValueError(f'Checkpoint {source} {error}.') from error
    except Exception as error:  # torch raises many types on malformed tensors
        what = f'has tensors that cannot be converted ({type(error).__name__}: {last_line(error)})'
        raise ValueError(f'Checkpoint {source} {what}.') from error
    meta = dict(
        source=source.name,
        source_sha256=file.sha256,
        taken=take or uncommon_entry(file),
        prefix=conversion.prefix,
        family=conversion.family.LABEL,
        layout=conversion.layout,
        target=target,
        mixpro_mm_version=__version__,
        deviation=conversion.proof.deviation,
    )
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with replacing(destination) as temporary:
            _save(conversion.renamed.tensors, meta, temporary, destination.suffix == '.safetensors')
    except (OSError, RuntimeError) as error:
        reason = getattr(error, 'strerror', None) or str(error).splitlines()[0]
        raise ValueError(f'{destination} cannot be written: {reason}.') from error
    return conversion


def _save(tensors: dict[str, torch.Tensor], meta: dict, path: Path, as_safetensors: bool) -> None:
    if not as_safetensors:
        return torch.save(dict(state_dict=tensors, meta=meta), path)
    from safetensors.torch import save_file  # a requirement of timm

    text = {key: str(value) for key, value in meta.items() if value is not None}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, text)


def uncommon_entry(file: Checkpoint) -> str | None:
    """Return the path of the tensors in the file without ``state_dict`` and ``model``, or None."""
    return '.'.join(name for name in file.under.split('.') if name not in ('', 'state_dict', 'model')) or None


def _convert(file: Checkpoint, target: str, heads: int | None) -> Conversion:
    tensors, prefix, outside = without_wrapping(file.tensors)
    unchanged = file.found_by_host and tensors.keys() == file.tensors.keys()
    loss = [name for name in tensors if name.startswith(LOSS)]
    tensors = {name: tensor for name, tensor in tensors.items() if name not in loss}
    family, layout = recognise(tensors)
    if heads is not None and family is not vit:
        raise ValueError(f'is {family.LABEL}, whose number of heads is read from the file: omit --heads')
    if empty := [with_shape(name, tensor) for name, tensor in tensors.items() if not tensor.numel()]:
        raise ValueError(f'has {some(empty)} that does not fit: no elements')
    if broken := [name for name, tensor in tensors.items() if not tensor.isfinite().all()]:
        raise ValueError(f'has values that are not finite in {some(broken)}')
    what = f'is {family.LABEL} in the layout of {layout}'
    loadable = unchanged and layout == OWN_LAYOUT
    possible = [name for name, table in family.TARGETS.items() if not (loadable and table is None)]
    if target not in possible:
        why = family.INSTEAD.get(target, "it already has the names of mmpretrain's classifier, load it directly")
        others = ', '.join(possible) or 'none'
        raise ValueError(f'{what} and cannot be converted --to {target}: {why}; possible targets: {others}')
    try:
        hub = Renamed(tensors, {name: (name,) for name in tensors})
        hub = rename(hub, table) if (table := family.LAYOUTS[layout][1]) else hub
        size = family.measure(hub.tensors, heads)
        check_names(build(family.config(size, 'mmpretrain'), 'mmpretrain'), hub)
    except KeyError as error:
        raise ValueError(f'{what}, but lacks {error.args[0]} of mmpretrain') from error
    except ValueError as error:
        raise ValueError(f'{what}, but {error}') from error
    renamed = rename(hub, table) if (table := family.TARGETS[target]) else hub
    kept = {name: tensor for name, tensor in tensors.items() if name not in hub.dropped}
    proof = prove(family, layout, target, size, kept, hub, renamed)
    renamed.dropped |= dict.fromkeys(loss, 'belongs to the loss of pre-training')
    renamed.dropped |= dict.fromkeys(outside, f'outside the prefix {prefix} of the model')
    return Conversion(file, family, layout, target, size, renamed, proof, prefix)
