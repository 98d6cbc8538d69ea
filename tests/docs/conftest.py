import runpy

import pytest
from mmpretrain.registry import BATCH_AUGMENTS as HOST

from mixpro_mm.registry import BATCH_AUGMENTS
from tests.docs.pages import DOCS


@pytest.fixture
def own_method():
    """What docs/examples/own_method.py defines; its class is registered as long as the test runs."""
    yield runpy.run_path(str(DOCS / 'examples' / 'own_method.py'), run_name='own_method')
    for registry in (BATCH_AUGMENTS, HOST):
        registry._module_dict.pop('StripeMix')
