"""Compare a checkpoint with a model, convert checkpoints of other projects, and verify the conversion."""

from mixpro_mm.transfer.coverage import Coverage, compare

__all__ = ['Coverage', 'compare']
