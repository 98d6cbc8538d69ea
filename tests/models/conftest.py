"""Small classifiers and trainings as a fixture."""

import pytest

from tests import micro


@pytest.fixture
def kit():
    """tests/micro.py."""
    return micro
