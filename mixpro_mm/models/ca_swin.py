"""CA-Swin: a Swin Transformer whose last block is class attention.

Chen et al., TransMix, CVPR 2022, section 4.5, https://arxiv.org/abs/2111.09833, which has no public code of it. The
block is that of CaiT (Touvron et al., ICCV 2021, https://arxiv.org/abs/2103.17239) without LayerScale. Parameters and
MACs match CA-Swin-T and CA-Swin-S in Table 1 of MixPro.
"""

import torch
from mmcv.cnn.bricks import DropPath
from mmcv.cnn.bricks.transformer import FFN
from mmengine.utils import to_2tuple
from mmpretrain.models.backbones import SwinTransformer
from torch import Tensor, nn

from mixpro_mm.models.pvt import Attention, parse_arch
from mixpro_mm.registry import MODELS, register

__all__ = ['CASwin']


class ClassAttention(Attention):
    """Attention with the class token as the only query (CaiT, section 3); ``q`` returns (B, 1, C)."""

    def __init__(self, dims: int, num_heads: int):
        super().__init__(dims, num_heads, sr_ratio=1, drop=0.0, attn_drop=0.0, norm_eps=0.0)  # no norm

    def forward(self, x: Tensor) -> Tensor:
        """Map class token and patches (B, 1 + N, C) to the class token (B, 1, C)."""
        return self.attend(x[:, :1], x)


class ClassAttentionBlock(nn.Module):
    """Pre-norm class attention and MLP, each with a residual path on the class token.

    ``norm1``, ``norm2`` and ``ffn`` have the names of the Swin block that this one replaces.
    """

    def __init__(self, dims: int, num_heads: int, drop_path: float):
        super().__init__()
        self.norm1 = nn.LayerNorm(dims)
        self.attn = ClassAttention(dims, num_heads)
        self.drop_path = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(dims)
        dropout_layer = dict(type='DropPath', drop_prob=drop_path)
        self.ffn = FFN(dims, 4 * dims, act_cfg=dict(type='GELU'), dropout_layer=dropout_layer)

    def forward(self, cls_token: Tensor, patches: Tensor) -> Tensor:
        """Map class token (B, 1, C) and patches (B, N, C) to the class token (B, 1, C)."""
        tokens = self.norm1(torch.cat((cls_token, patches), dim=1))
        cls_token = cls_token + self.drop_path(self.attn(tokens))
        return self.ffn(self.norm2(cls_token), identity=cls_token)


@register(MODELS)
class CASwin(SwinTransformer):
    """Swin Transformer with class attention as the last block; the output is the class token.

    All other blocks are Swin's, keys included. Any input size that Swin takes works; mmpretrain pads with zeros at the
    bottom and right. The class token attends to every patch, but not to the padding of windows.

    Checkpoints of a plain Swin are not converted: ``cls_token`` and ``ca_block.*`` are missing and the last block is
    unexpected. Old key names that mmpretrain renames for SwinTransformer are not supported.

    Args:
        arch (str | dict): 'tiny' or 'small', or a dict of ``embed_dims`` (of stage 1; doubled in each stage),
            ``depths`` (including the class-attention block) and ``num_heads``, one number per stage.
        img_size (int | tuple): Input size, or (H, W), that is checked against ``window_size``; other sizes are allowed.
        patch_size, in_channels, window_size, drop_rate: See SwinTransformer.
        drop_path_rate (float): Stochastic depth of the last block; it increases linearly from 0 over all blocks.
        with_cp (bool): Checkpoint the activations of the Swin blocks, but not of the class-attention block.
        pad_small_map (bool): Pad maps smaller than the window instead of raising an error.
        init_cfg (dict, optional): Initialisation config of mmengine. By default, linear layers, class token and (in
            ``init_weights``) position biases are drawn from a truncated normal (std 0.02).

    Raises:
        ValueError: If ``arch`` is invalid, ``drop_path_rate`` is not in [0, 1), or a map at ``img_size`` is smaller
            than the window.
    """

    arch_zoo = {name: SwinTransformer.arch_zoo[name] for name in ('tiny', 'small')}
    num_extra_tokens = 1  # in ca_block

    def __init__(
        self,
        arch: str | dict = 'tiny',
        img_size: int | tuple[int, int] = 224,
        patch_size: int = 4,
        in_channels: int = 3,
        window_size: int = 7,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.1,
        with_cp: bool = False,
        pad_small_map: bool = False,
        init_cfg: dict | None = None,
    ):
        depths = parse_arch('CASwin', arch, self.arch_zoo)['depths']
        if not 0 <= drop_path_rate < 1:
            raise ValueError(f'CASwin takes a drop_path_rate from 0 to below 1, not {drop_path_rate}.')
        if not pad_small_map:
            _check_maps(to_2tuple(img_size), patch_size, depths, window_size)
        super().__init__(
            arch,
            img_size,
            patch_size,
            in_channels,
            window_size,
            drop_rate,
            drop_path_rate,
            out_indices=(len(depths) - 1,),
            with_cp=with_cp,
            pad_small_map=pad_small_map,
            init_cfg=init_cfg,
        )
        dims, replaced = self.num_features[-1], self.stages[-1].blocks.pop(-1)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dims))
        self.ca_block = ClassAttentionBlock(dims, self.num_heads[-1], replaced.attn.drop.drop_prob)
        self._draw_parameters()

    def _draw_parameters(self) -> None:
        """Initialise at construction; ``init_weights`` may load a checkpoint."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:  # patch merging has none
                    nn.init.zeros_(module.bias)
        nn.init.trunc_normal_(self.cls_token, std=0.02)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Map images (B, in_channels, H, W) to the class token ((B, C),); C is 768 for 'tiny' and 'small'."""
        x, grid = self.patch_embed(x)
        x = self.drop_after_pos(x)
        for stage in self.stages:
            x, grid = stage(x, grid)
        cls_token = self.ca_block(self.cls_token.expand(len(x), -1, -1), x)
        norm = getattr(self, f'norm{len(self.stages) - 1}')
        return (norm(cls_token)[:, 0],)

    def train(self, mode: bool = True):
        super().train(mode)  # returns None in mmpretrain
        return self

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Return (depth, number of depths) of a parameter for layer-wise learning rates, the new block last."""
        if param_name.startswith((f'{prefix}ca_block.', f'{prefix}cls_token')):
            return sum(self.depths), sum(self.depths) + 2
        return super().get_layer_depth(param_name, prefix)


def _check_maps(img_size: tuple[int, int], patch_size: int, depths: list[int], window_size: int) -> None:
    for stage, depth in enumerate(depths):
        h, w = (-(-size // (patch_size * 2**stage)) for size in img_size)
        if min(h, w) < window_size and (stage + 1 < len(depths) or depth > 1):
            raise ValueError(
                f'CASwin at {img_size[0]}x{img_size[1]} pixels has a map of {h}x{w} in stage {stage + 1}, smaller than '
                f'its window of {window_size}: give pad_small_map=True or a smaller window_size.'
            )
