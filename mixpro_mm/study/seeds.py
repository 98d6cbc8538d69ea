"""The same stages with several seeds, so that a difference can be told from chance."""

__all__ = ['repeated']


def repeated(entries: list[dict], seed: int, seeds: int | None, study: str) -> list[dict]:
    """Stages with ``seeds=n`` n times: NAME_s0 with the study's first seed, NAME_s1 with the next, and so on.

    A repeated stage that waits for, or starts from, another repeated stage has the one of its own seed. All stages of
    a seed come before those of the next: what is finished first can be compared.

    Args:
        entries: As of ``checked_entry``.
        seed: The first.
        seeds: Instead of what the entries say, for all that train.
        study: Name of the study's file, for the sentence below.

    Raises:
        ValueError: for less than one seed, or a stage with more seeds than the one it waits for.
    """
    counts = {}
    for entry in entries:
        count = entry.get('seeds') if seeds is None else seeds
        if entry.get('config') and count is not None:
            if count < 1:
                raise ValueError(f'stage {entry["name"]} of {study}: seeds is {count}, not above 0')
            counts[entry['name']] = count
        elif entry.get('seeds') is not None:
            raise ValueError(f'stage {entry["name"]} of {study} is a command, which has no seeds')
    result = []
    for number in range(max(counts.values(), default=1)):
        for entry in entries:
            plain = {key: value for key, value in entry.items() if key != 'seeds'}
            count = counts.get(entry['name'])
            if count is None and number == 0:
                result.append(plain)
            elif count is not None and number < count:
                result.append(_with_seed(plain, counts, seed, number, study))
    return result


def _with_seed(entry: dict, counts: dict[str, int], seed: int, number: int, study: str) -> dict:
    def of_same_seed(name: str) -> str:
        if counts.get(name, number + 1) <= number:
            raise ValueError(
                f'stage {entry["name"]} of {study} has more seeds than {name}, which it waits for and which has '
                f'{counts[name]}'
            )
        return f'{name}_s{seed + number}' if name in counts else name

    changed = dict(name=of_same_seed(entry['name']), seed=seed + number)
    if entry.get('checkpoint'):
        changed['checkpoint'] = of_same_seed(entry['checkpoint'])
    if entry.get('needs'):
        changed['needs'] = tuple(of_same_seed(name) for name in entry['needs'])
    return entry | changed
