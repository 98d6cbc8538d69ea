"""MixPro (ICLR 2023) for the OpenMMLab toolkits: pre-train, hand over, measure.

Importing this package is cheap and pulls in no mm* package; registries and classes live in the sub-packages.
"""

from mixpro_mm.version import __version__

__all__ = ['__version__']
