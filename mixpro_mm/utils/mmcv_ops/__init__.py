"""A substitute for ``mmcv._ext``, the compiled ops of mmcv, by the ops of torchvision.

:mod:`mmcv.ops` looks up every op in the extension module ``mmcv._ext``. Where mmcv was installed without compiling, the
finder of ``mixpro_mm_mmcv_ops.pth`` (see setup.py) answers with :mod:`mixpro_mm.utils.mmcv_ops.extension`, on CPU and
CUDA. It is the last finder of the process, so a compiled ``mmcv._ext`` takes precedence.

The environment variable ``MIXPRO_MM_MMCV_OPS=0`` turns it off. This module does not import torch.
"""

import importlib.util
from importlib.machinery import ModuleSpec

__all__ = ['find_spec']


def find_spec(name: str) -> ModuleSpec | None:
    """Return the spec of the substitute if ``name`` is 'mmcv._ext', otherwise None."""
    if name != 'mmcv._ext':
        return None
    return importlib.util.spec_from_file_location(name, importlib.util.find_spec(f'{__name__}.extension').origin)
