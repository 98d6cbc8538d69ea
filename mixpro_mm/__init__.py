"""MixPro (ICLR 2023) for the OpenMMLab toolkits.

Importing this package imports no mm* package; registries and classes are in the subpackages.
"""

from mixpro_mm.version import __version__

__all__ = ['__version__']
