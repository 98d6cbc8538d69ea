"""Hand-over of a pre-trained backbone that cannot fail in silence."""

from mixpro_mm.transfer.coverage import Coverage, compare
from mixpro_mm.transfer.hook import TransferCheckHook

__all__ = ['Coverage', 'TransferCheckHook', 'compare']
