"""Small classifiers and trainings as a fixture."""

import pytest

from tests import micro


@pytest.fixture
def kit():
    """Return the module tests/micro.py."""
    return micro
