"""Checkpoints from elsewhere into the names of another class: read, recognise, rename, prove, write."""

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch

from mixpro_mm.transfer.keys import Renamed, last_line, rename, some, with_shape
from mixpro_mm.transfer.layouts import OWN_LAYOUT, TARGETS, recognise, vit, without_loss, without_wrapping
from mixpro_mm.transfer.layouts.family import check_ranks
from mixpro_mm.transfer.proof import Proof, build, check_names, prove
from mixpro_mm.utils.checkpoint import Checkpoint, CodeInCheckpointError, read_checkpoint
from mixpro_mm.utils.files import replacing
from mixpro_mm.version import __version__

__all__ = ['TARGETS', 'Conversion', 'convert']


@dataclass
class Conversion:
    """What became of a file."""

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
        """The config of the model that the proof was made with; of the backbone, for mmseg and mmdet."""
        return self.family.config(self.size, self.target)


def convert(source, destination, target, trust=False, heads=None, take=None) -> Conversion:
    """Convert a checkpoint file, prove the result, and only then write it.

    ``target`` is one of ``TARGETS``; ``trust`` lets code in the file run; ``heads`` are those of a DeiT or ViT, if they
    are not of 64 channels each; ``take`` names the mapping in the file to convert, such as ``'model_ema'``. The new
    file has ``state_dict`` and ``meta``. A FileNotFoundError or ValueError is one sentence; nothing is written then.
    """
    source, destination = Path(source), Path(destination)
    same = destination.exists() and source.exists() and destination.samefile(source)
    if destination.is_dir() or same or destination.resolve() == source.resolve():
        what = 'a folder' if destination.is_dir() else 'the source itself'
        raise ValueError(f'{destination} is {what}: name another file to write to.')
    if destination.suffix == '.safetensors':
        raise ValueError(f'{destination} would hold a checkpoint of torch.save, not safetensors: name it .pth.')
    try:
        file = read_checkpoint(source, trust, take)
    except CodeInCheckpointError as error:
        raise ValueError(
            f'{str(error).rstrip(".")}; with --trust it is unpickled all the same and whatever code is in it runs with '
            'your rights, so say so only of a file whose author you trust.'
        ) from error
    try:
        conversion = _convert(file, target, heads)
    except ValueError as error:
        raise ValueError(f'Checkpoint {source} {error}.') from error
    except Exception as error:  # whatever torch raises at tensors nobody thought of
        what = f'has tensors that cannot be converted ({type(error).__name__}: {last_line(error)})'
        raise ValueError(f'Checkpoint {source} {what}.') from error
    meta = dict(
        source=source.name,
        source_sha256=file.sha256,
        taken=take or file.unusual,
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
            torch.save(dict(state_dict=conversion.renamed.tensors, meta=meta), temporary)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, 'strerror', None) or str(error).splitlines()[0]
        raise ValueError(f'{destination} cannot be written: {reason}.') from error
    return conversion


def _convert(file: Checkpoint, target: str, heads: int | None) -> Conversion:
    tensors, prefix, outside = without_wrapping(file.tensors)
    as_it_is = file.found_by_host and tensors.keys() == file.tensors.keys()
    tensors, loss = without_loss(tensors)
    family, layout = recognise(tensors)
    if heads is not None and family is not vit:
        raise ValueError(f'is {family.LABEL}, whose number of heads can be read from the file: leave out --heads')
    if empty := [with_shape(name, tensor) for name, tensor in tensors.items() if not tensor.numel()]:
        raise ValueError(f'has {some(empty)} that does not fit: there is nothing in it')
    if broken := [name for name, tensor in tensors.items() if not tensor.isfinite().all()]:
        raise ValueError(f'has values that are not finite in {some(broken)}')
    what, as_it_is = f'is {family.LABEL} in the layout of {layout}', as_it_is and layout == OWN_LAYOUT
    possible = [name for name, table in family.TARGETS.items() if not (as_it_is and table is None)]
    if target not in possible:
        why = family.INSTEAD.get(target, "it has the names of mmpretrain's classifier already, use it as it is")
        others = ', '.join(possible) or 'nothing'
        raise ValueError(f'{what} and cannot be converted --to {target}: {why}; possible here: {others}')
    try:
        hub = Renamed(tensors, {name: (name,) for name in tensors})
        hub = rename(hub, table) if (table := family.LAYOUTS[layout][1]) else hub
        check_ranks(hub)
        size = family.measure(hub.tensors, heads)
        check_names(build(family.config(size, 'mmpretrain'), 'mmpretrain'), hub)
    except (KeyError, ValueError) as error:
        lacking = f'lacks what mmpretrain has as {error.args[0]}'
        raise ValueError(f'{what}, but {lacking if isinstance(error, KeyError) else error}') from error
    renamed = rename(hub, table) if (table := family.TARGETS[target]) else hub
    kept = {name: tensor for name, tensor in tensors.items() if name not in hub.dropped}
    proof = prove(family, layout, target, size, kept, hub, renamed)
    renamed.dropped |= loss | dict.fromkeys(outside, f'outside of {prefix}, where the model is')
    return Conversion(file, family, layout, target, size, renamed, proof, prefix)
