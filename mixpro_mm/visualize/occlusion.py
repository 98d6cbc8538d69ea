"""Top-1 over information loss, a panel for each way to drop patches (MixPro, Figure 3)."""

from collections.abc import Sequence
from pathlib import Path

from mixpro_mm.reporting.occlusion import occlusion_curves, read_occlusion
from mixpro_mm.visualize.paper import outputs
from mixpro_mm.visualize.runs import split_name

__all__ = ['draw_occlusion']


def draw_occlusion(files: Sequence[str], out: str | None = None) -> list[Path]:
    """Draw what occlusion tests wrote, ``[NAME=]JSON`` each.

    Raises:
        ValueError: if one is no such result, or they share no axis.
    """
    paths, records = outputs(out, 'occlusion'), []
    for text in files:
        name, file = split_name(text)
        record = read_occlusion(file)
        records.append(dict(record, label=name) if name else record)
    return [occlusion_curves(records, path) for path in paths]
