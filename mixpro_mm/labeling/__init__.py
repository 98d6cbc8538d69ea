"""Who decides the weight of the two labels (plain torch); ``hook`` puts the decision into training."""

from mixpro_mm.labeling.lam import attention_lam, combine, cosine_factor, linear_factor, parabolic_factor
from mixpro_mm.labeling.rules import AreaLabeling, AttentionLabeling, LabelWeights, ProgressiveAttentionLabeling

__all__ = [
    'AreaLabeling',
    'AttentionLabeling',
    'LabelWeights',
    'ProgressiveAttentionLabeling',
    'attention_lam',
    'combine',
    'cosine_factor',
    'linear_factor',
    'parabolic_factor',
]
