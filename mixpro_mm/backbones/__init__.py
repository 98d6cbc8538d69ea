"""Backbones the hosts lack; one class serves mmpretrain, mmseg and mmdet."""

from .pvt import PVT

__all__ = ['PVT']
