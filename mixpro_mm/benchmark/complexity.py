"""How large a classifier is and how much it computes, counted from its config, beside what the paper says (Table 1)."""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch.utils.flop_counter import FlopCounterMode

from mixpro_mm.attention import find_attention_block
from mixpro_mm.files import write_text
from mixpro_mm.reporting.tables import markdown_table

__all__ = ['Complexity', 'complexity_of', 'complexity_table', 'main', 'page']

CONFIGS = Path(__file__).parents[2] / 'configs'  # of the checkout
SIZE = 224  # of the images of Table 1

BASELINE = '_mixup-cutmix_8xb128_in1k'
HEADER = ['model', 'config', 'parameters', 'Table 1', 'GMACs', 'Table 1', 'difference', 'class attention', 'tokens']
NOTES = """\
Written by `python tools/complexity.py --write docs/models.md`, from the configs. Parameters are those of the whole
classifier with its 1000-way head. GMACs are 10^9 multiply-adds (the paper's FLOPs) of a forward pass of one image of
224 px, counted on every matrix product and convolution; the difference is to Table 1 of the paper. The 1.6 G it
gives DeiT-T fit neither patches of 16 px nor of 14 px (1.70), a slip; the other rows agree within 3 %. Class attention
is the module whose class row labels are weighed by (eq. 5), over so many tokens of the image.
"""


@dataclass(frozen=True)
class Complexity:
    """Size and cost of a classifier.

    Args:
        parameters: Of the whole classifier.
        macs: Multiply-adds of a forward pass of one image.
        attention: Dotted name of the module that class attention is read from.
        grid: (h, w) of the tokens it goes to.
    """

    parameters: int
    macs: int
    attention: str
    grid: tuple[int, int]


def complexity_of(config: Config, size: int = SIZE) -> Complexity:
    """Count a classifier of mmpretrain; it is built without its weights and computes nothing.

    Args:
        config: With ``model``, as mmpretrain reads it.
        size: Side of the square image, in pixels.

    Raises:
        ValueError: if it has no class attention that is known here.
    """
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(dict(config.model, train_cfg=None))
    model = model.to('meta').eval()
    block, tokens = find_attention_block(model), []
    keys = getattr(block.attn, block.projections[-1])
    keys.register_forward_hook(lambda module, args, output: tokens.append(output.shape[1] - block.prefix_tokens))
    with FlopCounterMode(display=False) as counter:
        model(torch.empty(1, 3, size, size, device='meta'), mode='tensor')
    return Complexity(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        macs=counter.get_total_flops() // 2,
        attention=next(name for name, module in model.named_modules() if module is block.attn),
        grid=block.grid(tokens[-1], (size, size)),
    )


def complexity_table(configs: list[Path], published: dict, size: int = SIZE) -> str:
    """Markdown: a row per config, in its order.

    Args:
        configs: Files of mmpretrain configs; the model's name is what stands before the first ``_``.
        published: ``{model: dict(name, params, gflops)}``, in millions and 10^9; others get no numbers beside theirs.
        size: Side of the image, in pixels.
    """
    rows = []
    for path in configs:
        found, paper = complexity_of(Config.fromfile(path), size), published.get(path.stem.split('_')[0], {})
        gmacs = found.macs / 1e9
        rows.append(
            [
                paper.get('name', path.stem.split('_')[0]),
                path.name,
                f'{found.parameters:,}',
                f'{paper["params"]} M' if paper else '-',
                f'{gmacs:.3f}',
                f'{paper["gflops"]} G' if paper else '-',
                f'{100 * (gmacs / paper["gflops"] - 1):+.1f} %' if paper else '-',
                found.attention,
                f'{found.grid[0]} x {found.grid[1]}',
            ]
        )
    return markdown_table(HEADER, rows, range(2, 7))


def main(arguments=None) -> int:
    """Print parameters, multiply-adds and class attention of classifiers beside Table 1 of the paper."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument('configs', nargs='*', type=Path, help='every model of Table 1 if omitted')
    parser.add_argument('--size', type=int, default=SIZE, help=f'side of the image in pixels ({SIZE})')
    parser.add_argument('--write', type=Path, metavar='FILE', help='write the page on Table 1 instead of printing')
    args = parser.parse_args(arguments)
    if args.write and (args.configs or args.size != SIZE):
        parser.error(f'--write makes the page on Table 1, at {SIZE} px: it takes no configs and no --size')
    published = Config.fromfile(CONFIGS / '_base_' / 'paper.py').table1.to_dict()
    configs = args.configs or [CONFIGS / 'pretrain' / f'{model}{BASELINE}.py' for model in published]
    if missing := [str(path) for path in configs if not path.is_file()]:
        print(f'there is no config at {", ".join(missing)}', file=sys.stderr)
        return 1
    try:
        table = complexity_table(configs, published if args.size == SIZE else {}, args.size)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    if args.write:
        write_text(args.write, page(table))
    else:
        print(table)
    return 0


def page(table: str) -> str:
    """docs/models.md around the table of all models."""
    return f'# The models of Table 1\n\n{NOTES}\n{table}\n'
