"""Backbones the hosts lack; PVT serves mmpretrain, mmseg and mmdet with one class, CASwin classifies."""

from .ca_swin import CASwin
from .pvt import PVT

__all__ = ['PVT', 'CASwin']
