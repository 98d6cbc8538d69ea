"""Who decides the weight of the two labels (plain torch); ``hook`` puts the decision into training."""

from mixpro_mm.labeling.lam import attention_lam, combine, cosine_factor
from mixpro_mm.labeling.rules import AttentionLabeling, LabelWeights, ProgressiveAttentionLabeling

__all__ = [
    'AttentionLabeling',
    'LabelWeights',
    'ProgressiveAttentionLabeling',
    'attention_lam',
    'combine',
    'cosine_factor',
]
