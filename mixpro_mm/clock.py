"""Seconds as people read them."""

__all__ = ['clock']


def clock(seconds: float) -> str:
    """``125`` -> ``2:05``."""
    minutes, seconds = divmod(round(seconds), 60)
    return f'{minutes}:{seconds:02d}'
