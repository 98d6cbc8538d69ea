"""Comparison of the class names of a data set with its labels: COCO categories or class folders."""

import difflib
import json
import re
from itertools import zip_longest
from pathlib import Path

from mmengine.fileio import get_file_backend, get_local_path

__all__ = ['empty_folders', 'first_difference', 'own_fault']

NO_CLASS = ('__MACOSX', '__pycache__', '@eaDir', 'lost+found')  # folders of tools; hidden folders count too
WNID = re.compile(r'n\d{8}')


def own_fault(dataset) -> str:
    """Return why the labels of a data set do not match its ``classes``, or '' if they match or cannot be compared."""
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes') or ()
    if folders := _folders(dataset):
        return _fault_of_folders(dataset.img_prefix, folders, classes)
    if getattr(dataset, 'cat_ids', None) is not None and getattr(dataset, 'ann_file', '') and classes:
        return _fault_of_categories(dataset, list(classes))
    return ''


def first_difference(dataset, reference, name: str) -> str:
    """Return the first difference between the classes of ``dataset`` and ``reference`` (called ``name``), or ''.

    The comparison ignores case and treats underscores as blanks. WordNet IDs are not compared with class names, and
    the prompts of a data set with ``return_classes`` are not compared at all.
    """
    ours, theirs = dataset.metainfo['classes'], reference.metainfo['classes']
    prompts = any(getattr(each, 'return_classes', False) for each in (dataset, reference))
    if len(ours) == len(theirs) and (prompts or _wnids(ours) != _wnids(theirs)):
        return ''
    pairs = zip_longest(map(_same, ours), map(_same, theirs))
    place = next((place for place, (one, other) in enumerate(pairs) if one != other), None)
    folders = _folders(dataset), _folders(reference)
    if place is None and all(folders):
        ours, theirs = folders
        place = _misplaced(ours, theirs)
    if place is None:
        return ''
    here, there = (repr(names[place]) if place < len(names) else 'none' for names in (ours, theirs))
    return f'label {place} is {here} here and {there} in {name}, which has {len(theirs)} classes'


def empty_folders(dataset) -> list[str]:
    """Return the names of class folders without an image."""
    folders = _folders(dataset)
    backend = get_file_backend(dataset.img_prefix) if folders else None

    def has_image(name: str) -> bool:
        folder = backend.join_path(dataset.img_prefix, name)
        files = backend.list_dir_or_file(folder, list_dir=False, list_file=True, recursive=True)
        return any(map(dataset.is_valid_file, files))

    return [name for name in folders if not has_image(name)]


def _folders(dataset) -> list[str]:
    return list(getattr(dataset, 'folder_to_idx', None) or ())


def _fault_of_folders(root: str, folders: list[str], classes) -> str:
    if hidden := [name for name in folders if name.startswith('.') or name in NO_CLASS]:
        them = ', '.join(map(repr, hidden))
        return f'takes {them} in {root} for classes, which shifts the labels of later folders: remove {them}'
    place = _misplaced(folders, classes)
    if place is None:
        return ''
    return (
        f'calls label {place} {classes[place]!r}, but labels follow the sorted folders of {root}, where that one is '
        f'{folders[place]!r}: list `classes` in the order of the folders'
    )


def _fault_of_categories(dataset, classes: list) -> str:
    ids, file = list(dataset.cat_ids), dataset.ann_file
    categories = _categories(dataset, ids)
    if categories is None:
        return ''
    names = [categories[each] for each in ids]
    place = _misplaced(names, classes, str)
    if place is None:
        return ''
    there = list(categories.values())
    if missing := [name for name in classes if name not in there]:
        return _missing(missing, classes, there, file)
    if doubles := [name for name in names if names.count(name) > 1]:
        double = [str(each) for each in ids if categories[each] == doubles[0]]
        return (
            f'reads {len(ids)} categories of {file} as {len(classes)} classes, because {doubles[0]!r} is the name '
            f'of the categories with the ids {", ".join(double)}: rename or remove all but one (a root category of '
            'Roboflow has the id 0)'
        )
    if place >= len(names):
        return f'names {len(classes)} classes, {classes[place]!r} twice, but {file} has {len(names)} of them'
    order = f'({", ".join(map(repr, names))})' if len(names) <= 20 else 'that of the file'
    given = repr(classes[place]) if place < len(classes) else 'no class'
    return (
        f'calls label {place} {given}, but in the order of {file} it is {names[place]!r}: set the order of '
        f'metainfo.classes to {order} in every split, or sort `categories` in the file'
    )


def _missing(missing: list, classes: list, there: list[str], file) -> str:
    near = difflib.get_close_matches(str(missing[0]), [name for name in there if name not in classes] or there, n=1)
    hint = f' (did you mean {near[0]!r}?)' if near else ''
    shown = ', '.join(map(repr, there[:10])) + (', ...' if len(there) > 10 else '')
    return (
        f'names {len(missing)} of {len(classes)} classes that {file} lacks, first {missing[0]!r} at label '
        f'{classes.index(missing[0])}{hint}, which shifts later labels: set metainfo.classes to names of its '
        f'{len(there)} categories ({shown})'
    )


def _categories(dataset, ids: list) -> dict | None:
    """Return the category names of a COCO file by id, in file order, or None if they cannot be read.

    mmdet does not keep them. The file may have gigabytes, so only this list is parsed.
    """
    with get_local_path(dataset.ann_file, backend_args=getattr(dataset, 'backend_args', None)) as path:
        content = Path(path).read_bytes()
    for match in re.finditer(rb'"categories"\s*:\s*(?=\[)', content):
        try:
            entries, _ = json.JSONDecoder().raw_decode(content[match.end() :].decode(errors='replace'))
            categories = {entry['id']: entry['name'] for entry in entries}
        except (KeyError, TypeError, ValueError):
            continue
        if set(ids) <= set(categories):
            return categories
    return None


def _same(name) -> str:
    return str(name).strip().casefold().replace('_', ' ').replace('-', ' ')


def _misplaced(names, classes, same=_same) -> int | None:
    """Return the first place where the lists differ by a name that both have, or where the shorter list ends.

    A class may have another name than its folder, so a name that only one list has is no difference.
    """
    names, classes = [same(name) for name in names], [same(name) for name in classes]
    equal_length, known, called = len(names) == len(classes), set(names), set(classes)
    for place, (one, other) in enumerate(zip_longest(names, classes)):
        if one != other and (not equal_length or one in called or other in known):
            return place
    return None


def _wnids(names) -> bool:
    return all(WNID.fullmatch(str(name)) for name in names)
