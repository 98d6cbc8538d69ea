"""Backbones the hosts lack; PVT serves mmpretrain, mmseg and mmdet with one class, CASwin classifies."""

from .ca_swin import CASwin
from .pvt import PVT
from .timm_init import TimmInit

__all__ = ['PVT', 'CASwin', 'TimmInit']
