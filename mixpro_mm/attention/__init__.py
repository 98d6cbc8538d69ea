"""Class attention beside the fused kernel: one row of it, from the q and k the last block computes anyway."""

from mixpro_mm.attention.readers import AttentionBlock, class_row, find_attention_block, token_grid
from mixpro_mm.attention.tap import ClassAttentionTap

__all__ = ['AttentionBlock', 'ClassAttentionTap', 'class_row', 'find_attention_block', 'token_grid']
