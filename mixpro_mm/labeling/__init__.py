"""Labelings, readers of class attention and the tap on the last block."""

from mixpro_mm.labeling.attention import find_attention_block, parse_attention
from mixpro_mm.labeling.grid import patches_of, token_grid
from mixpro_mm.labeling.readers import AttentionBlock, class_row, query_mean
from mixpro_mm.labeling.rules import AreaLabeling, AttentionLabeling, LabelWeights, ProgressiveAttentionLabeling
from mixpro_mm.labeling.tap import ClassAttentionTap

__all__ = ['AreaLabeling', 'AttentionBlock', 'AttentionLabeling', 'ClassAttentionTap', 'LabelWeights']
__all__ += ['ProgressiveAttentionLabeling', 'class_row', 'find_attention_block', 'parse_attention', 'patches_of']
__all__ += ['query_mean', 'token_grid']
