import runpy

import pytest
from mmpretrain.registry import BATCH_AUGMENTS as MMPRETRAIN

from mixpro_mm.registry import BATCH_AUGMENTS
from tests.docs.pages import DOCS


@pytest.fixture
def own_method():
    """Run docs/examples/own_method.py; its class is registered during the test."""
    yield runpy.run_path(str(DOCS / 'examples' / 'own_method.py'), run_name='own_method')
    for registry in (BATCH_AUGMENTS, MMPRETRAIN):
        registry._module_dict.pop('StripeMix')
