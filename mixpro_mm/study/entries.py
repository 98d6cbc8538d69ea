"""One entry of a study's list of stages, as it is written: known keys, and every value of its kind."""

from mixpro_mm.arguments import is_number
from mixpro_mm.reporting.labels import canonical

__all__ = ['checked_entry']


def _are_strings(value) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(part, str) for part in value)


def _are_published(value) -> bool:
    return isinstance(value, dict) and all(is_number(number) for number in value.values())


def _are_configs(value) -> bool:
    return isinstance(value, dict) and _are_strings(list(value.values()))


KINDS = {
    'a string': lambda value: isinstance(value, str),
    'a list of strings': _are_strings,
    'a number': is_number,
    'a whole number': lambda value: isinstance(value, int) and not isinstance(value, bool),
    'True or False': lambda value: isinstance(value, bool),
    'a dict of numbers': _are_published,
    'a dict of configs': _are_configs,
}
KEYS = (
    dict.fromkeys(('name', 'config', 'task', 'backbone', 'pretraining', 'checkpoint', 'creates'), 'a string')
    | dict.fromkeys(('command', 'needs'), 'a list of strings')
    | dict.fromkeys(('cost', 'gmacs'), 'a number')
    | dict.fromkeys(('gpus', 'train_images', 'seeds'), 'a whole number')
    | dict(published='a dict of numbers', evaluations='a dict of configs', tta='True or False')
)
OPTIONAL = (
    'config',
    'task',
    'backbone',
    'pretraining',
    'checkpoint',
    'creates',
    'gpus',
    'gmacs',
    'train_images',
    'seeds',
)


def checked_entry(entry, number: int, study: str) -> dict:
    """The arguments of a ``Stage``, lists as tuples, and ``seeds``, how often it is repeated.

    Args:
        entry: As it is written.
        number: Its place in the list, from 1.
        study: Name of the study's file, for the sentence below.

    Raises:
        ValueError: if it is no dict, has no name, a key that is not known, or a value of the wrong kind.
    """
    if not isinstance(entry, dict):
        raise ValueError(f'stage {number} of {study} is {_short(entry)}, not a dict')
    if 'name' not in entry:
        raise ValueError(f'stage {number} of {study} has no name')
    name = entry['name'] if isinstance(entry['name'], str) else number
    for key, value in entry.items():
        if key not in KEYS:
            raise ValueError(f'stage {name} of {study} has an unknown key {key!r}; known: {", ".join(KEYS)}')
        if not (KINDS[KEYS[key]](value) or (value is None and key in OPTIONAL)):
            raise ValueError(f'stage {name} of {study}: {key} is {_short(value)}, not {KEYS[key]}')
    plain = {key: _plain(value) for key, value in entry.items()}
    if plain.get('pretraining'):
        plain['pretraining'] = canonical(plain['pretraining'])
    return plain


def _plain(value):
    return tuple(value) if isinstance(value, list) else dict(value) if isinstance(value, dict) else value


def _short(value) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f'{text[:57]}...'
