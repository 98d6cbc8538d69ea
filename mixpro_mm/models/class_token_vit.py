"""A ViT that computes only what its classifier reads in the last block."""

from mmpretrain.models.backbones import VisionTransformer
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from mmpretrain.models.utils import MultiheadAttention
from torch import Tensor

from mixpro_mm.registry import MODELS, register

__all__ = ['ClassTokenViT']


@register(MODELS)
class ClassTokenViT(VisionTransformer):
    """mmpretrain's ``VisionTransformer`` without the patch tokens after the last attention.

    With ``out_type='cls_token'`` a classifier reads the class token alone, so the last block needs the attention, the
    projection and the feed-forward network of that token only. Output, gradients, names of parameters and class
    attention are those of the base class, up to rounding and the random numbers of dropout. Methods that read patch
    tokens of the last block, such as TokenMix, need the base class.

    Args:
        **kwargs: Arguments of ``VisionTransformer``.

    Raises:
        ValueError: If the output includes patch tokens: ``out_type`` is not 'cls_token'.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        if self.out_type != 'cls_token':
            raise ValueError(
                f"ClassTokenViT has no patch tokens for out_type={self.out_type!r}: use type='VisionTransformer'"
            )
        last = self.layers[-1]
        # the base class has no argument for the type of a layer
        last.__class__, last.attn.__class__ = ClassTokenLayer, ClassTokenAttention


class ClassTokenLayer(TransformerEncoderLayer):
    """A block whose output is the class token."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 1, C) of tokens (B, T, C)."""
        x = x[:, :1] + self.attn(self.ln1(x))
        return self.ffn(self.ln2(x), identity=x)


class ClassTokenAttention(MultiheadAttention):
    """Attention of the class token to all tokens."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 1, C) of tokens (B, T, C)."""
        # queries of all tokens are computed, because ClassAttentionTap reads the output of qkv
        qkv = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = qkv[0, :, :, :1], qkv[1], qkv[2]
        dropout = self.attn_drop if self.training else 0.0
        x = self.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        return self.out_drop(self.gamma1(self.proj_drop(self.proj(x.transpose(1, 2).flatten(2)))))
