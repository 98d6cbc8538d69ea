"""Files that are written whole or not at all."""

import hashlib
import json
import os
from contextlib import contextmanager
from pathlib import Path

__all__ = ['read_json', 'replacing', 'sha256_of', 'write_json', 'write_text']


@contextmanager
def replacing(path: str | Path):
    """A path beside ``path`` to write to; moved over it at the end, removed if anything fails before.

    A reader sees the old content or the new, never half of it. The temporary name has the suffix of ``path``, which
    picture writers look at, or '.tmp': torch.save refuses a name whose only dot is its first character.
    """
    path = Path(path)
    temporary = path.with_name(f'.{os.getpid()}-{path.name}{"" if path.suffix else ".tmp"}')
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding='utf-8')


def write_json(path: str | Path, content) -> None:
    """Write a JSON file, whole or not at all."""
    write_text(path, json.dumps(content, indent=2) + '\n')


def read_json(path: str | Path):
    """The content of a JSON file, or None if there is none or it cannot be read."""
    try:
        return json.loads(Path(path).read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None


def sha256_of(path: str | Path) -> str:
    """Hex SHA-256 of a file, read a megabyte at a time."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
