"""Pyramid Vision Transformer v1 for classification and dense prediction.

Wang et al., "Pyramid Vision Transformer: A Versatile Backbone for Dense Prediction without Convolutions", ICCV 2021,
https://arxiv.org/abs/2102.12122. Parameters have the names of the authors' release.
"""

import re
from math import isqrt

import torch
from mmcv.cnn.bricks import DropPath
from mmcv.cnn.bricks.transformer import AdaptivePadding
from mmengine.utils import to_2tuple
from mmpretrain.models.backbones.base_backbone import BaseBackbone
from mmpretrain.models.utils import resize_pos_embed
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from mixpro_mm.registry import MODELS, register

__all__ = ['PVT']

OUT_TYPES = ('cls_token', 'featmap')
DEPTHS = dict(tiny=(2, 2, 2, 2), small=(3, 4, 6, 3), medium=(3, 4, 18, 3), large=(3, 8, 27, 3))
ARCH = dict(  # of all four sizes
    embed_dims=(64, 128, 320, 512),
    num_heads=(1, 2, 5, 8),
    mlp_ratios=(8, 8, 4, 4),
    sr_ratios=(8, 4, 2, 1),
    patch_sizes=(4, 2, 2, 2),
)


def parse_arch(name: str, arch: str | dict, zoo: dict[str, dict], stages: int | None = None) -> dict:
    """Return the settings of an architecture in ``zoo``, or a dict with the same keys.

    Args:
        name: Class of the backbone.
        arch: Name or dict; a single number for ``embed_dims`` is that of stage 1, doubled in each stage.
        zoo: Settings by name.
        stages: Number of stages; by default the number of ``depths``.

    Raises:
        ValueError: If a name, key or number of stages is wrong, or heads do not divide dimensions.
    """
    if isinstance(arch, str) and arch in zoo:
        return zoo[arch]
    if not isinstance(arch, dict):
        raise ValueError(f'{name} has no arch {arch!r}; choose one of {", ".join(zoo)}, or give a dict.')
    keys = next(iter(zoo.values())).keys()
    if arch.keys() != keys:
        missing, unknown = (', '.join(sorted(names)) or 'none' for names in (keys - arch.keys(), arch.keys() - keys))
        wrong = f'(missing: {missing}; unknown: {unknown})'
        raise ValueError(f'The arch of {name} takes the keys {", ".join(keys)} {wrong}.')
    stages = stages or len(arch['depths'])
    for key, values in arch.items():
        if not isinstance(values, int) and len(values) != stages:
            raise ValueError(f'The arch of {name} takes {stages} numbers for {key}, one per stage, not {list(values)}.')
    for stage, heads in enumerate(arch['num_heads']):
        dims = arch['embed_dims']
        dims = dims * 2**stage if isinstance(dims, int) else dims[stage]
        if dims % heads:
            raise ValueError(f'{name} stage {stage + 1}: {heads} heads do not divide {dims} dimensions.')
    return arch


class PatchEmbed(nn.Module):
    """Map (B, C, H, W) to normalised tokens (B, h*w, dims) and their grid (h, w) = ceil((H, W) / patch size)."""

    def __init__(self, in_channels: int, dims: int, patch_size: int, norm_eps: float):
        super().__init__()
        self.pad = AdaptivePadding(patch_size, patch_size)  # zeros at the bottom and right
        self.proj = nn.Conv2d(in_channels, dims, patch_size, patch_size)
        self.norm = nn.LayerNorm(dims, norm_eps)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        x = self.proj(self.pad(x))
        return self.norm(x.flatten(2).transpose(1, 2)), tuple(x.shape[2:])


class Attention(nn.Module):
    """Spatial-reduction attention with one key per ``sr_ratio`` x ``sr_ratio`` window of tokens (section 3.2).

    ``q`` returns (B, N, C), ``kv`` (B, keys, 2C): k, then v, each ordered by head.
    """

    def __init__(self, dims: int, num_heads: int, sr_ratio: int, drop: float, attn_drop: float, norm_eps: float):
        super().__init__()
        self.num_heads = num_heads
        self.scale = (dims // num_heads) ** -0.5
        self.sr_ratio = sr_ratio
        self.attn_drop = attn_drop
        self.q = nn.Linear(dims, dims)
        self.kv = nn.Linear(dims, 2 * dims)
        self.proj = nn.Linear(dims, dims)
        self.proj_drop = nn.Dropout(drop)
        if sr_ratio > 1:
            self.pad = AdaptivePadding(sr_ratio, sr_ratio)
            self.sr = nn.Conv2d(dims, dims, sr_ratio, sr_ratio)
            self.norm = nn.LayerNorm(dims, norm_eps)

    def forward(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """Map tokens (B, N, C) on ``grid`` to (B, N, C)."""
        if self.sr_ratio == 1:
            return self.attend(x, x)
        reduced = self.sr(self.pad(x.transpose(1, 2).unflatten(2, grid)))
        return self.attend(x, self.norm(reduced.flatten(2).transpose(1, 2)))

    def attend(self, x: Tensor, keys: Tensor) -> Tensor:
        """Map queries (B, N, C) and the tokens (B, keys, C) that they attend to, to (B, N, C)."""
        q = self.q(x).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
        k, v = self.kv(keys).unflatten(2, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        dropout_p = self.attn_drop if self.training else 0.0
        out = scaled_dot_product_attention(q, k, v, dropout_p=dropout_p, scale=self.scale)
        return self.proj_drop(self.proj(out.transpose(1, 2).flatten(2)))


class Mlp(nn.Module):
    """Two linear layers on tokens (B, N, C), GELU between them."""

    def __init__(self, dims: int, hidden_dims: int, drop: float):
        super().__init__()
        self.fc1 = nn.Linear(dims, hidden_dims)
        self.fc2 = nn.Linear(hidden_dims, dims)
        self.drop = nn.Dropout(drop)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.fc2(self.drop(gelu(self.fc1(x)))))


class Block(nn.Module):
    """Pre-norm attention and MLP on tokens (B, N, C), each with a residual path."""

    def __init__(self, attn: Attention, mlp: Mlp, dims: int, drop_path: float, norm_eps: float):
        super().__init__()
        self.norm1 = nn.LayerNorm(dims, norm_eps)
        self.attn = attn
        self.norm2 = nn.LayerNorm(dims, norm_eps)
        self.mlp = mlp
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        x = x + self.drop_path(self.attn(self.norm1(x), grid))
        return x + self.drop_path(self.mlp(self.norm2(x)))


@register(MODELS)
class PVT(BaseBackbone):
    """Pyramid Vision Transformer v1: four stages at strides 4, 8, 16 and 32; the class token joins at stage 4.

    Any input size works: maps are padded at the bottom and right, and position embeddings are interpolated to the grid
    of their stage, also when loading weights of another ``img_size``. A model with feature maps ignores the class
    token, its position, the final norm and ``head.*`` of a checkpoint.

    Args:
        arch (str | dict): 'tiny', 'small', 'medium' or 'large', or a dict of ``embed_dims``, ``num_heads``,
            ``mlp_ratios``, ``depths``, ``sr_ratios`` and optionally ``patch_sizes`` (4, 2, 2, 2); four numbers each.
        img_size (int | tuple): Input size, or (H, W), that sets the grids of the position embeddings.
        in_channels (int): Channels of the input.
        out_type (str): 'cls_token' for classification, 'featmap' for dense prediction (without class token and final
            norm, so that no parameter is unused).
        drop_rate (float): Dropout after position embeddings, attention projections and in the MLPs.
        attn_drop_rate (float): Dropout of attention weights.
        drop_path_rate (float): Stochastic depth of the last block; it increases linearly from 0 over all blocks.
        norm_eps (float): Epsilon of the norms in blocks and of the final norm.
        conv_norm_eps (float): Epsilon of the norms after a convolution (patch embedding, spatial reduction).
        init_cfg (dict, optional): Initialisation config of mmengine. By default, linear layers, class token and
            positions are drawn from a truncated normal (std 0.02), convolutions normal by fan-out as in mmdet;
            ``TimmInit`` draws the weights of the release.

    Raises:
        ValueError: If ``arch`` or ``out_type`` is invalid.
    """

    def __init__(
        self,
        arch: str | dict = 'small',
        img_size: int | tuple[int, int] = 224,
        in_channels: int = 3,
        out_type: str = 'cls_token',
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        norm_eps: float = 1e-6,
        conv_norm_eps: float = 1e-5,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        if out_type not in OUT_TYPES:
            raise ValueError(f"PVT has no out_type '{out_type}'; choose one of {', '.join(OUT_TYPES)}.")
        arch = {'patch_sizes': ARCH['patch_sizes'], **arch} if isinstance(arch, dict) else arch
        arch = parse_arch('PVT', arch, {name: dict(ARCH, depths=depths) for name, depths in DEPTHS.items()}, stages=4)
        if out_type == 'cls_token' and arch['sr_ratios'][3] != 1:
            raise ValueError(f'PVT stage 4 has the class token and needs sr_ratio 1, not {arch["sr_ratios"][3]}.')
        self.num_extra_tokens = int(out_type == 'cls_token')  # in stage 4
        self.depths = tuple(arch['depths'])
        self.grids = []
        self.pos_drop = nn.Dropout(drop_rate)

        grid, num_blocks = to_2tuple(img_size), sum(arch['depths'])
        drop_path_rates = (drop_path_rate * index / max(num_blocks - 1, 1) for index in range(num_blocks))
        for stage in range(4):
            dims, heads, mlp_ratio, sr_ratio, patch_size = (arch[key][stage] for key in ARCH)
            grid = tuple(-(-size // patch_size) for size in grid)
            extra = self.num_extra_tokens if stage == 3 else 0
            blocks = nn.ModuleList()
            for _ in range(arch['depths'][stage]):
                attn = Attention(dims, heads, sr_ratio, drop_rate, attn_drop_rate, conv_norm_eps)
                mlp = Mlp(dims, int(dims * mlp_ratio), drop_rate)
                blocks.append(Block(attn, mlp, dims, next(drop_path_rates), norm_eps))
            self.grids.append(grid)
            setattr(self, f'patch_embed{stage + 1}', PatchEmbed(in_channels, dims, patch_size, conv_norm_eps))
            setattr(self, f'pos_embed{stage + 1}', nn.Parameter(torch.zeros(1, extra + grid[0] * grid[1], dims)))
            setattr(self, f'block{stage + 1}', blocks)
            in_channels = dims
        if self.num_extra_tokens:
            self.cls_token = nn.Parameter(torch.zeros(1, 1, dims))
            self.norm = nn.LayerNorm(dims, norm_eps)

        self._draw_parameters()
        self._register_load_state_dict_pre_hook(self._fit_state_dict)

    def _draw_parameters(self) -> None:
        """Initialise at construction; ``init_weights`` may load a checkpoint."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')
                nn.init.zeros_(module.bias)
        for parameter in self.parameters(recurse=False):  # pos_embed1 .. pos_embed4, cls_token
            nn.init.trunc_normal_(parameter, std=0.02)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map images (B, in_channels, H, W) to the class token or to feature maps.

        Returns:
            ((B, C),) with 'cls_token', four maps (B, C_i, H_i, W_i) with 'featmap'.
        """
        maps = []
        for stage, own_grid in enumerate(self.grids, 1):
            x, grid = getattr(self, f'patch_embed{stage}')(x)
            extra = self.num_extra_tokens if stage == 4 else 0
            if extra:
                x = torch.cat((self.cls_token.expand(len(x), -1, -1), x), dim=1)
            pos_embed = getattr(self, f'pos_embed{stage}')
            x = self.pos_drop(x + resize_pos_embed(pos_embed, own_grid, grid, 'bilinear', extra))
            for block in getattr(self, f'block{stage}'):
                x = block(x, grid)
            if extra:
                return (self.norm(x)[:, 0],)
            x = x.transpose(1, 2).unflatten(2, grid).contiguous()
            maps.append(x)
        return tuple(maps)

    def train(self, mode: bool = True):
        super().train(mode)  # returns None in mmpretrain
        return self

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Return (depth, number of depths) of a parameter for layer-wise learning rates, as in mmpretrain's Swin.

        0 is the patch embedding of stage 1, then each block is one. Embeddings between stages count to the block before
        them, the class token to the last block before stage 4; the final norm and everything after it is last.
        """
        last, name = sum(self.depths) + 1, param_name.removeprefix(prefix)
        found = re.match(r'(?:patch_embed|pos_embed|block|cls_token)(\d?)(?:\.(\d+)\.)?', name)
        if not param_name.startswith(prefix) or found is None:
            return last, last + 1
        stage, block = int(found[1] or 4), found[2]
        return sum(self.depths[: stage - 1]) + (0 if block is None else int(block) + 1), last + 1

    def _fit_state_dict(self, state_dict: dict, prefix: str, *_) -> None:
        """Load pre-hook: drop unused entries and resize square position grids in the loader's copy."""
        class_row = f'{prefix}cls_token' in state_dict
        unused = ['head.'] if self.num_extra_tokens else ['head.', 'norm.', 'cls_token']
        for key in [key for key in state_dict if key.startswith(tuple(prefix + name for name in unused))]:
            del state_dict[key]
        for stage, grid in enumerate(self.grids, 1):
            key, extra = f'{prefix}pos_embed{stage}', self.num_extra_tokens if stage == 4 else 0
            if key not in state_dict:
                continue
            if stage == 4 and class_row and not extra:
                state_dict[key] = state_dict[key][:, 1:]
            rows = state_dict[key].shape[1] - extra
            side = isqrt(rows)
            if rows != grid[0] * grid[1] and side**2 == rows > 0:
                state_dict[key] = resize_pos_embed(state_dict[key], (side, side), grid, 'bilinear', extra)
