"""The page of a study on the claims of the paper: verdicts first, then all results."""

import os
from pathlib import Path

import pandas as pd

from mixpro_mm.report.page import render_markdown
from mixpro_mm.report.paper import read_paper
from mixpro_mm.report.paper_report import claim_blocks, comparison_blocks, occlusion_blocks, results_blocks
from mixpro_mm.report.records import collect
from mixpro_mm.report.tables import results_table
from mixpro_mm.utils.arguments import counted
from mixpro_mm.utils.files import read_json, write_text

__all__ = ['write_evidence']


def write_evidence(results: Path, page: Path) -> Path:
    """Render the ``results.json`` of a study to a Markdown page with figures in the folder of the same name.

    Raises:
        ValueError: if the file has no results, or no claim of the paper was measured.
    """
    records, study, figures = collect([results]), read_json(results)['study'], page.with_suffix('')
    table = results_table(records)
    if not (claims := claim_blocks(table, read_paper(), figures)):
        raise ValueError(f'{results} has no two methods that the paper compares, for the same backbone and seed')
    blocks = [('title', study['title'], claims[0][1])]
    blocks += [('note', text) for text in study.get('about', '').split('\n\n') if text]
    blocks += [*claims[1:], ('heading', 'Results'), *results_blocks(table), *occlusion_blocks(records, figures)]
    blocks += [('heading', 'Set-up'), *_setup(study), *comparison_blocks(table)]
    file = os.path.relpath(results, page.parent)
    origin = f'[{results.name}]({file}) has every number with its seed, its config and the hash of its checkpoint.'
    origin += f' This page is written by `python tools/report.py --evidence {results}`.'
    write_text(page, render_markdown(blocks, figures.name) + f'\n{origin}\n')
    return page


def _setup(study: dict) -> list[tuple]:
    times = pd.DataFrame(study['stages']).groupby(['task', 'backbone'], sort=False)['seconds'].agg(['size', 'sum'])
    minutes = times.pop('sum') / 60
    text = f'On {study["date"]}: {counted(len(study["stages"]), "stage")}, {minutes.sum():.0f} minutes in total; '
    text += ', '.join(f'{name}: {value}' for name, value in study['settings'].items())
    text += f'. {", ".join(f"{name} {version}" for name, version in study["versions"].items())}.'
    frame = times.assign(minutes=minutes.round().astype(int)).reset_index().rename(columns={'size': 'stages'})
    return [('note', text), ('table', frame.map(str))]
