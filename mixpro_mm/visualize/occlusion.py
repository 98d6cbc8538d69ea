"""Top-1 over information loss, a panel for each way to drop patches (MixPro, Figure 3)."""

from collections.abc import Sequence
from pathlib import Path

from mixpro_mm.report.figures.occlusion import occlusion_curves, read_occlusion
from mixpro_mm.visualize.paper import outputs
from mixpro_mm.visualize.runs import split_name

__all__ = ['draw_occlusion']


def draw_occlusion(files: Sequence[str], out: str | None = None) -> list[Path]:
    """Draw what occlusion tests wrote, ``[NAME=]JSON`` each.

    Raises:
        ValueError: if one is no such result, or they share no axis.
    """
    paths = outputs(out, 'occlusion')
    split = [split_name(text) for text in files]
    names, records = [name for name, _ in split], [read_occlusion(file) for _, file in split]
    return [occlusion_curves(records, path, names) for path in paths]
