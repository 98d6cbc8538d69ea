"""Will this checkpoint fit: compare it with a model, convert it from other projects, and prove the conversion."""

from mixpro_mm.transfer.coverage import Coverage, compare

__all__ = ['Coverage', 'compare']
