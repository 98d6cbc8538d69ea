"""Command line of the checkpoint converter."""

import argparse
import sys
from collections import Counter

from mixpro_mm.transfer.convert import TARGETS, Conversion, convert, uncommon_entry
from mixpro_mm.transfer.keys import some
from mixpro_mm.transfer.layouts import vit
from mixpro_mm.transfer.layouts.family import describe, uncommon
from mixpro_mm.transfer.proof import MAPS, TOLERANCE

__all__ = ['main']

TO = 'target layout; mixpro equals mmpretrain where a family has both; see docs/hand_over.md'


def main(arguments=None) -> int:
    """Convert a checkpoint of DeiT, PVT, XCiT, CaiT or Swin to the layout of another toolkit, and verify the result."""
    parser = argparse.ArgumentParser(prog='convert_checkpoint.py', description=main.__doc__)
    add = parser.add_argument
    add('source', metavar='SRC', help='an official, timm, SMMix, released MixPro or mixpro_mm checkpoint')
    add('destination', metavar='DST', help='the file to write')
    add('--to', required=True, choices=TARGETS, help=TO)
    add('--trust', action='store_true', help='allow code in the file to run')
    add('--heads', type=int, help='number of heads of a DeiT or ViT; default: one per 64 channels')
    add('--take', metavar='KEY', help='convert the entry KEY of the file, such as model_ema, or KEY.*')
    args = parser.parse_args(arguments)
    try:
        conversion = convert(args.source, args.destination, args.to, args.trust, args.heads, args.take)
    except KeyboardInterrupt:
        print('interrupted; nothing was written', file=sys.stderr)
        return 130
    except (FileNotFoundError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print('\n'.join(_report(conversion, args)))
    return 0


def _report(conversion: Conversion, args: argparse.Namespace) -> list[str]:
    file, family, renamed, proof = conversion.file, conversion.family, conversion.renamed, conversion.proof
    taken = f' (entry {entry})' if (entry := uncommon_entry(file)) else ''
    taken += f' (prefix {conversion.prefix})' if conversion.prefix else ''
    what = f'{family.LABEL} in the layout of {conversion.layout}: {describe(conversion.size)}'
    lines = [f'{args.source}{taken} is {what} (SHA-256 {file.sha256[:12]})']
    lines += [f'not read: {", ".join(file.beside)}'] if file.beside else []
    lines += [f'note: {name} has averaged weights; --take {name} converts them' for name in file.averaged]
    lines += [f'note: {remark}' for remark in [uncommon(family, conversion.size)] if remark]
    if args.heads is None and family is vit:
        heads = conversion.size['numbers']['num_heads']
        lines.append(f'note: {heads} heads assumed, one per 64 channels; --heads sets another number')
    moved = sum(origin != (name,) for name, origin in renamed.origins.items())
    kinds = ''.join(f', {number} {how}' for how, number in Counter(renamed.changed.values()).items())
    counts = f'{len(file.tensors)} tensors in, {len(renamed.tensors)} out: {moved} renamed{kinds}'
    lines.append(f'{counts}, {len(renamed.dropped)} dropped')
    for why, number in Counter(renamed.dropped.values()).items():
        names = some(name for name, reason in renamed.dropped.items() if reason == why)
        lines.append(f'dropped {number}: {names} ({why})')
    lines += [f'loaded: {proof.loaded}'] if proof.loaded else []
    if proof.skipped:
        lines.append(f'proof skipped: {proof.skipped}')
    else:
        lines.append(f'proof: {proof.what} differ by {proof.deviation:.1e} of the largest (limit {TOLERANCE:.0e})')
    lines.append(f'written: {args.destination}')
    if conversion.target == 'timm':
        settings = dict(conversion.config, checkpoint_path=args.destination)
        arguments = [repr(settings.pop('type')), *(f'{key}={_as_code(value)}' for key, value in settings.items())]
        return [*lines, f'timm.create_model({", ".join(arguments)})']
    maps = conversion.target in MAPS
    weights = dict(init_cfg=dict(type='Pretrained', checkpoint=args.destination)) if maps else {}
    lines.append(f'{"backbone" if maps else "model"}={_as_code(conversion.config | weights)}')
    return lines


def _as_code(value) -> str:
    if isinstance(value, dict):
        return f'dict({", ".join(f"{key}={_as_code(inner)}" for key, inner in value.items())})'
    return repr(value)
