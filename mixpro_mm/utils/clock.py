"""Durations as text."""

__all__ = ['format_duration']


def format_duration(seconds: float) -> str:
    """``125`` -> ``2:05``."""
    minutes, seconds = divmod(round(seconds), 60)
    return f'{minutes}:{seconds:02d}'
