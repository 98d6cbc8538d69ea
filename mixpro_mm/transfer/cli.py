"""The converter of checkpoints as one command."""

import argparse
import sys
from collections import Counter

from mixpro_mm.transfer.convert import TARGETS, Conversion, convert
from mixpro_mm.transfer.keys import some
from mixpro_mm.transfer.layouts import uncommon
from mixpro_mm.transfer.proof import TOLERANCE

__all__ = ['main']

DOWNSTREAM = ('mmseg', 'mmdet')
TO = 'whose names; mixpro is another word for mmpretrain where a family has both; docs/checkpoints.md has the pairs'


def main(arguments=None) -> int:
    """Convert a checkpoint of DeiT, PVT, XCiT, CaiT or Swin into the names of another toolkit, and prove the result."""
    parser = argparse.ArgumentParser(prog='convert_checkpoint.py', description=main.__doc__)
    parser.add_argument(
        'source', metavar='SRC', help='an official, timm, SMMix or released MixPro file, or one of ours'
    )
    parser.add_argument('destination', metavar='DST', help='the file to write')
    parser.add_argument('--to', required=True, choices=TARGETS, help=TO)
    parser.add_argument('--trust', action='store_true', help='let code that is in the file run')
    parser.add_argument('--heads', type=int, help='heads of a DeiT or ViT, if they are not of 64 channels each')
    parser.add_argument(
        '--take',
        metavar='KEY',
        help='convert what the file has under KEY, such as model_ema or state_dict_ema, or KEY.*',
    )
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
    """What was found, what became of each tensor, what was proved, and the config that takes the file."""
    family, size, renamed, proof = conversion.family, conversion.size, conversion.renamed, conversion.proof
    classes = f'{size["classes"]} classes' if size['classes'] else 'no classifier'
    taken = ''.join(
        f' ({what} {name})'
        for what, name in (('what lies under', conversion.file.unusual), ('with the prefix', conversion.prefix))
        if name
    )
    lines = [
        f'{args.source}{taken} is {family.label} in the layout of {conversion.layout}: '
        f'{family.describe(size)}, {classes} (SHA-256 {conversion.file.sha256[:12]})'
    ]
    if conversion.file.beside:
        lines.append(f'not read, beside the model: {", ".join(conversion.file.beside)}')
    for name in conversion.file.averaged:
        lines.append(f'note: {name} has averaged weights; --take {name} converts those instead')
    if remark := uncommon(family, size):
        lines.append(f'note: {remark}')
    kinds = ''.join(f', {number} {how}' for how, number in Counter(renamed.changed.values()).items())
    counts = f'{len(conversion.file.tensors)} tensors in, {len(renamed.tensors)} out: {renamed.renamed} renamed{kinds}'
    lines.append(f'{counts}, {len(renamed.dropped)} dropped')
    for why, number in Counter(renamed.dropped.values()).items():
        names = some(name for name, reason in renamed.dropped.items() if reason == why)
        lines.append(f'dropped {number}: {names} ({why})')
    if proof.coverage is not None:
        coverage = proof.coverage
        lines.append(f'{len(coverage.loaded)} of {coverage.total} tensors of {coverage.module} come from the new file')
    if proof.skipped:
        lines.append(f'proof skipped: {proof.skipped}')
    else:
        lines.append(f'proof: {proof.what} differ by {proof.deviation:.1e} of the largest (limit {TOLERANCE:.0e})')
    lines.append(f'written: {args.destination}')
    config = conversion.config
    if conversion.target in DOWNSTREAM:
        config |= dict(init_cfg=dict(type='Pretrained', checkpoint=args.destination))
    lines.append(f'{"backbone" if conversion.target in DOWNSTREAM else "model"}={_as_code(config)}')
    if remark := family.remark.get(conversion.target):
        lines.append(f'note: {remark}')
    return lines


def _as_code(value) -> str:
    """A config as it is written in a config file."""
    if isinstance(value, dict):
        return f'dict({", ".join(f"{key}={_as_code(inner)}" for key, inner in value.items())})'
    return repr(value)


if __name__ == '__main__':
    sys.exit(main())
