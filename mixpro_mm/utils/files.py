"""Atomic writing of files, reading of JSON and SHA-256."""

import hashlib
import json
import os
from contextlib import contextmanager
from pathlib import Path

__all__ = ['read_json', 'replacing', 'sha256_of', 'write_json', 'write_text']


@contextmanager
def replacing(path: str | Path):
    """Yield a temporary path that replaces ``path`` at the end: readers see either the old or the new content."""
    path = Path(path)
    # image writers read the suffix; torch.save rejects a name whose only dot is its first character
    temporary = path.with_name(f'.{os.getpid()}-{path.name}{"" if path.suffix else ".tmp"}')
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding='utf-8')


def write_json(path: str | Path, content) -> None:
    """Write a JSON file atomically."""
    write_text(path, json.dumps(content, indent=2) + '\n')


def read_json(path: str | Path):
    """Return the content of a JSON file, or None if it cannot be read."""
    try:
        return json.loads(Path(path).read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None


def sha256_of(path: str | Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
