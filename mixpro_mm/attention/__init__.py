"""Attention beside the fused kernel: one value per patch, from the q and k the last block computes anyway."""

from mixpro_mm.attention.find import find_attention_block, parse_attention
from mixpro_mm.attention.grid import patches_of, token_grid
from mixpro_mm.attention.readers import AttentionBlock, class_heads, class_row, query_mean
from mixpro_mm.attention.tap import ClassAttentionTap

__all__ = [
    'AttentionBlock',
    'ClassAttentionTap',
    'class_heads',
    'class_row',
    'find_attention_block',
    'parse_attention',
    'patches_of',
    'query_mean',
    'token_grid',
]
