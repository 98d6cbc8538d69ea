"""The robustness card: results of several test sets and checkpoints as one Markdown page."""

from statistics import fmean

import pandas as pd

from mixpro_mm.report.tables import markdown_table, markdown_text

__all__ = ['robustness_card']

# metric -> name; the order of the rows of a suite
NAMES = {
    'calibration/top1': 'top-1', 'real/top1': 'top-1', 'corruption/top1': 'mean top-1',
    'corruption/mce': 'mCE (lower is better)', 'calibration/ece': 'ECE (lower is better)',
    'corruption/ece': 'mean ECE (lower is better)',
    'calibration/rms_calibration_error': 'RMS calibration error (lower is better)', 'calibration/aurra': 'AURRA',
    'ood/auroc': 'AUROC', 'ood/aupr': 'AUPR, unknown positive', 'ood/aupr_in': 'AUPR, known positive',
    'ood/fpr95': 'FPR95 (lower is better)', 'occlusion/random': 'mean top-1, random occlusion',
    'occlusion/salient': 'mean top-1, salient occlusion', 'occlusion/non-salient': 'mean top-1, non-salient occlusion',
}  # fmt: skip


def robustness_card(title: str, results: list[dict], not_tested: dict[str, str]) -> str:
    """Return the page.

    Args:
        title: Heading.
        results: Dicts with ``suite``, ``label`` of the checkpoint, ``checkpoint``, ``sha256``, ``images``, ``metrics``.
        not_tested: Reasons by suite.
    """
    labels = list(dict.fromkeys(result['label'] for result in results))
    files = pd.DataFrame([
        dict(model=label, checkpoint=each['checkpoint'], sha256=each['sha256'][:10])
        for label in labels
        for each in [next(result for result in results if result['label'] == label)]
    ])  # fmt: skip
    parts = [f'# {markdown_text(title)}', 'All numbers are percentages; docs/robustness.md describes the suites.']
    parts += [markdown_table(_summary(results, labels)), markdown_table(files)]
    for result in results:
        if len(frame := _corruptions(result['metrics'])):
            parts += [f'## {markdown_text(result["suite"])}: {markdown_text(result["label"])}']
            parts += ['Top-1 by severity, and means over the severities.', markdown_table(frame)]
    if not_tested:
        lines = [f'- {markdown_text(name)}: {markdown_text(reason)}' for name, reason in not_tested.items()]
        parts += ['## Not tested', '\n'.join(lines)]
    return '\n\n'.join(parts) + '\n'


def _summary(results: list[dict], labels: list[str]) -> pd.DataFrame:
    """Return a row for each suite and metric, and a column for each checkpoint."""
    lines = []
    for suite in dict.fromkeys(result['suite'] for result in results):
        of_label = {result['label']: result for result in results if result['suite'] == suite}
        shown = {label: _headlines(result['metrics']) for label, result in of_label.items()}
        counts = (result['metrics'].get('real/images', result['images']) for result in of_label.values())
        images = ' / '.join(dict.fromkeys(f'{count:.0f}' for count in counts))
        names = dict.fromkeys([*NAMES.values(), *(name for each in shown.values() for name in each)])
        for name in (name for name in names if any(name in each for each in shown.values())):
            values = (shown.get(label, {}).get(name) for label in labels)
            lines.append((suite, images, name, *('-' if value is None else f'{value:.1f}' for value in values)))
    return pd.DataFrame(lines, columns=['suite', 'images', 'metric', *labels])


def _headlines(metrics: dict[str, float]) -> dict[str, float]:
    """Return the metrics of the summary by name; an occlusion curve is averaged without its point at 0.

    The metrics of single corruptions have a table of their own.
    """
    found, curves = {}, {}
    for key, value in metrics.items():
        mode, _, ratio = key.rpartition('_')
        if mode in NAMES and mode.startswith('occlusion/'):
            curves.setdefault(NAMES[mode], []).extend([value] * (float(ratio) > 0))
        elif key != 'real/images' and not (key.startswith('corruption/') and key.count('/') > 1):
            found[NAMES.get(key, key)] = value
    return found | {name: fmean(values) for name, values in curves.items() if values}


def _corruptions(metrics: dict[str, float]) -> pd.DataFrame:
    """Return a row for each corruption: top-1 by severity, means of top-1 and ECE, and the corruption error."""
    lines: dict[str, dict] = {}
    errors: dict[str, list] = {}
    for key, value in metrics.items():
        part, *path = key.split('/')
        if part != 'corruption' or len(path) < 2:
            continue
        line = lines.setdefault(path[0], dict(corruption=path[0].replace('_', ' ')))
        if path[-1] == 'ece':
            errors.setdefault(path[0], []).append(value)
        elif len(path) == 3:
            line[f'severity {path[1]}'] = f'{value:.1f}'
        else:
            line[dict(top1='top-1', ce='CE')[path[1]]] = f'{value:.1f}'
    for name, line in lines.items():
        line['ECE'] = f'{fmean(errors[name]):.1f}'
    frame = pd.DataFrame([*lines.values()])
    severities = sorted(column for column in frame if column.startswith('severity'))
    order = ['corruption', *severities, 'top-1', 'ECE', 'CE']
    return frame[[column for column in order if column in frame]].fillna('-')
