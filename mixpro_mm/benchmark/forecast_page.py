"""A run on paper as a page of Markdown: what goes in, what comes out, what is left out; every number is computed."""

import math
from collections.abc import Callable, Sequence

from mixpro_mm.benchmark.cluster import Cluster, line_through, linear_rate, root_rate, steps_per_epoch
from mixpro_mm.benchmark.constants import COUNTED, MEASURED, PUBLISHED, Constants, Known
from mixpro_mm.benchmark.methods import BASE
from mixpro_mm.benchmark.training import MIB
from mixpro_mm.reporting.tables import markdown_table

__all__ = ['Run', 'page']

ASSUMED = 'assumed'
FP32 = 4  # bytes of a gradient
HALF = 0.5  # of what grows with the batch, in bf16: assumed
MARK = '<!-- test: tests/benchmark/test_forecast.py::test_the_committed_page_is_what_its_command_writes -->'
LEFT_OUT = """\
- Where the interval of MixPro / CutMix holds 1, no difference was seen; what the parts cost alone is surer. Both are of
  the machine named beside them. A GPU's may differ; a run of `make bench` on one replaces the ratio and the pace.
- The paper's pace is that of mixing, forward and backward pass: the update comes on top of it, and so do validation
  after every epoch, checkpoints and the start.
- All-reduce without latency, with nothing else on the wires. Labels are weighed within each rank: `LabelingHook` sends
  nothing.
- Images come from memory; disks and network file systems may be slower than cores are. They are made up, because
  ImageNet cannot be passed on.
- Memory is what tensors ask for on a CPU, with the copy of the gradients that DDP keeps. On a GPU the context, the
  workspaces of libraries and fragments come on top. That bf16 halves what grows with the batch is assumed: parts of a
  step stay in fp32 under autocast.
- The recipe is tuned for the global batch named above. A larger one means as many times fewer updates, also in the
  warm-up, which is counted in epochs. A rate in proportion to the batch is what DeiT prescribes (Touvron et al.,
  arXiv:2012.12877) and `--auto-scale-lr` does; the rule was found for SGD (Goyal et al., arXiv:1706.02677). For Adam
  and its kin theory and trials support the root of the batch (Malladi et al., arXiv:2205.10287). Which of the two keeps
  the accuracy of Table 1 is not known here: the run with a larger batch is another experiment, not the same one sooner.
"""


class Run:
    """The run on one cluster.

    Args:
        constants: what is known.
        cluster: where.
    """

    def __init__(self, constants: Constants, cluster: Cluster):
        self.constants, self.cluster = constants, cluster
        self.batch = constants.batch.value * cluster.gpus
        self.steps = steps_per_epoch(constants.images.value, cluster.gpus, constants.batch.value)
        self.gradients = FP32 * constants.parameters.value
        self.waiting = cluster.waiting_seconds(self.gradients)

    def compute(self, ratio: float) -> float:
        """Seconds that a GPU computes in a step, which MixPro makes ``ratio`` as long as CutMix."""
        return self.constants.batch.value / self.constants.pace.value * ratio

    def hours(self, ratio: float) -> float:
        """Of all epochs."""
        return self.constants.epochs.value * self.steps * (self.compute(ratio) + self.waiting) / 3600

    def cores(self) -> int:
        """That load images for one GPU as fast as it trains on them."""
        return math.ceil(self.loaded() / self.constants.loading.value)

    def loaded(self) -> float:
        """Images per second for one GPU."""
        return self.constants.batch.value / (self.compute(self.constants.ratio.value) + self.waiting)

    def memory(self, share: float = 1.0) -> float:
        """MiB of a GPU, where what grows with the batch takes ``share`` of what it does in fp32; with DDP's copy."""
        fixed, each = line_through(self.constants.memory.points)
        return fixed + share * each * self.constants.batch.value + self.gradients / MIB


def page(constants: Constants, clusters: Sequence[Cluster], command: str) -> str:
    """The whole page.

    Args:
        constants: what is known.
        clusters: a column each, the first is what the others are compared with.
        command: that makes it.
    """
    runs = [Run(constants, cluster) for cluster in clusters]
    columns = [f'{cluster.gpus} GPU{"s" * (cluster.gpus > 1)}' for cluster in clusters]
    header = ['Quantity', 'Value', 'Kind', 'Source']
    going_in = markdown_table(header, [*_known(constants), *_assumed(clusters[0])], {1})
    out = [[what, *map(figure, runs), kinds] for what, figure, kinds in _results(constants, runs[0])]
    coming_out = markdown_table(['Quantity', *columns, 'Rests on what is'], out, set(range(1, 1 + len(runs))))
    return (
        f'# ImageNet-1k on paper: {constants.backbone}, {constants.epochs.value} epochs with MixPro\n\n'
        f'A model, not a measurement: nobody has run this here. Written by\n\n{MARK}\n```bash\n{command}\n```\n\n'
        f'## What goes in\n\n{going_in}\n\n## What comes out\n\n{coming_out}\n\n## What is left out\n\n{LEFT_OUT}'
    )


def _known(known: Constants) -> list[list[str]]:
    rows = [
        ('training images', f'{known.images.value:,}', known.images),
        ('epochs', str(known.epochs.value), known.epochs),
        ('images per GPU and step', str(known.batch.value), known.batch),
        ('learning rate', f'{known.rate.value:g}', known.rate),
        ('for a global batch of', str(known.rate_batch.value), known.rate_batch),
        ('warm-up, epochs', str(known.warm_up.value), known.warm_up),
        ('parameters', f'{known.parameters.value:,}', known.parameters),
        ('multiply-adds of an image, forward', f'{known.macs.value / 1e9:.2f} G', known.macs),
        (f'images per second of a GPU with {BASE}', f'{known.pace.value:.0f}', known.pace),
        (f'time of a step, MixPro / {BASE}', _interval(known.ratio, 3), known.ratio),
        ('the same by what its parts cost alone', f'{known.by_parts.value:.4f}', known.by_parts),
        ('labelling, share of a step', f'{known.labelling.value:.3%}', known.labelling),
        ('images per second and core, loaded', _interval(known.loading, 0), known.loading),
        ('workers per GPU in the config', str(known.workers.value), known.workers),
    ]
    if known.reduced:
        base, ours = known.reduced
        rows.append(('bytes a rank hands over in a step with MixPro', f'{ours.value:,.0f}', ours))
        rows.append((f'the same, MixPro - {BASE}', f'{ours.value - base.value:,.0f}', ours))
    table = [[what, value, of.kind, of.source] for what, value, of in rows]
    if known.memory:
        fixed, each = line_through(known.memory.points)
        batches = ' and '.join(str(batch) for batch, _ in known.memory.points[-2:])
        source = f'{known.memory.source}; fp32, line through batches of {batches}'
        table.append(['memory of a step whatever the batch', f'{fixed:.0f} MiB', MEASURED, source])
        table.append(['memory of a step per image', f'{each:.1f} MiB', MEASURED, source])
    return table


def _assumed(cluster: Cluster) -> list[list[str]]:
    return [
        ['GPUs in a node', str(cluster.per_node), ASSUMED, '--per-node'],
        ['a GPU sends within its node', f'{cluster.nvlink:g} GB/s', ASSUMED, '--nvlink'],
        ['a node sends to others', f'{cluster.network:g} GB/s', ASSUMED, '--network'],
        ['all-reduce hidden behind the backward pass', f'{cluster.overlap:.0%}', ASSUMED, '--overlap'],
    ]


def _results(known: Constants, first: Run) -> list[tuple[str, Callable[[Run], str], str]]:
    """What, its figure for a run, and the kinds of what it rests on."""
    compute = _kinds(known.pace.kind, known.ratio.kind)
    whole, (low, high), ratio = _kinds(compute, COUNTED, ASSUMED), known.ratio.ends, known.ratio.value
    recipe = known.rate.kind
    rate, base = known.rate.value, known.rate_batch.value
    rows = [
        ('nodes', lambda run: str(run.cluster.nodes), ASSUMED),
        ('global batch', lambda run: f'{run.batch:,}', recipe),
        ('steps of an epoch', lambda run: f'{run.steps:,}', PUBLISHED),
        ('updates', lambda run: f'{run.steps * known.epochs.value:,}', PUBLISHED),
        ('of them in the warm-up', lambda run: f'{run.steps * known.warm_up.value:,}', PUBLISHED),
        ('learning rate, in proportion to the batch', lambda run: f'{linear_rate(rate, base, run.batch):.4g}', recipe),
        ('learning rate, with the root of the batch', lambda run: f'{root_rate(rate, base, run.batch):.4g}', recipe),
        ('computing in a step', lambda run: f'{run.compute(ratio) * 1e3:.1f} ms', compute),
        ('gradients of a rank', lambda run: f'{run.gradients / MIB:.1f} MiB', COUNTED),
        ('waiting for gradients in a step', lambda run: f'{run.waiting * 1e3:.2f} ms', _kinds(COUNTED, ASSUMED)),
        ('waiting, share of a step', lambda run: f'{run.waiting / (run.compute(ratio) + run.waiting):.2%}', whole),
        ('hours', lambda run: f'{run.hours(ratio):.1f} ({run.hours(low):.1f} to {run.hours(high):.1f})', whole),
        (f'of them for MixPro instead of {BASE}', lambda run: _more(run, ratio, low, high), whole),
        ('the same by its parts', lambda run: f'{run.hours(known.by_parts.value) - run.hours(1):+.2f}', whole),
        ('hours of a GPU, in all', lambda run: f'{run.hours(ratio) * run.cluster.gpus:,.0f}', whole),
        (
            f'times as fast as {first.cluster.gpus} GPU{"s" * (first.cluster.gpus > 1)}',
            lambda run: f'{first.hours(ratio) / run.hours(ratio):.2f}',
            whole,
        ),
        ('images per second to load, per GPU', lambda run: f'{run.loaded():.0f}', whole),
        ('cores that load for a GPU, so that it never waits', lambda run: str(run.cores()), _kinds(whole, MEASURED)),
        (
            'such cores in a node',
            lambda run: str(run.cores() * min(run.cluster.per_node, run.cluster.gpus)),
            _kinds(whole, MEASURED),
        ),
    ]
    if known.memory:
        full, half = _kinds(MEASURED, COUNTED), _kinds(MEASURED, COUNTED, ASSUMED)
        rows.append(('memory of a GPU, fp32', lambda run: f'{run.memory() / 1024:.1f} GiB', full))
        rows.append(('memory of a GPU, bf16', lambda run: f'{run.memory(HALF) / 1024:.1f} GiB', half))
    return rows


def _more(run: Run, *ratios: float) -> str:
    value, low, high = (f'{run.hours(ratio) - run.hours(1):+.2f}' for ratio in ratios)
    return f'{value} ({low} to {high})'


def _kinds(*kinds: str) -> str:
    """Each kind once, the surest first."""
    found = {kind for several in kinds for kind in several.split(', ')}
    return ', '.join(kind for kind in (MEASURED, COUNTED, PUBLISHED, ASSUMED) if kind in found)


def _interval(known: Known, digits: int) -> str:
    low, high = known.ends
    return f'{known.value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})'
