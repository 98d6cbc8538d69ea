"""Rendering of light inks on dark textured backgrounds."""

import numpy as np
from PIL import Image

__all__ = ['INK_LUMINANCE', 'ground', 'opacity', 'resized', 'tints']

GROUND_LUMINANCE, INK_LUMINANCE = (0.08, 0.35), (0.62, 0.95)  # light on dark, like the scans
PERIOD = 96  # pixels per 1.5 to 6 stripes and five clouds


def resized(array: np.ndarray, size: int) -> np.ndarray:
    """Resize (h, w) to (size, size) float32 by bicubic interpolation."""
    return np.asarray(Image.fromarray(array.astype(np.float32)).resize((size, size), Image.Resampling.BICUBIC))


def opacity(scan: np.ndarray) -> np.ndarray:
    """Return the opacity in 0..1 of ink (H, W) in 0..255, with a higher contrast than the scan."""
    return np.clip(1.4 * scan / 255 - 0.15, 0, 1)


def tints(hue: np.ndarray, luminance: np.ndarray) -> np.ndarray:
    """Return RGB colours (N, 3) in 0..1 of given hue and luminance (N,)."""
    pure = 0.5 + 0.5 * np.cos(2 * np.pi * (hue[:, None] - np.arange(3) / 3))
    own = pure @ (0.299, 0.587, 0.114)
    darker = np.minimum(luminance / own, 1)[:, None]
    whiter = np.maximum((luminance - own) / (1 - own), 0)[:, None]
    return pure * darker * (1 - whiter) + whiter


def ground(rng: np.random.Generator, size: int) -> np.ndarray:
    """Draw stripes, low-frequency noise and grain in two dark tints, (size, size, 3) in 0..1."""
    angle, phase, waves = rng.uniform((0, 0, 1.5), (np.pi, 2 * np.pi, 6))
    clouds = resized(rng.uniform(-1, 1, (5, 5)), max(size, PERIOD))[:size, :size]
    colours = tints(rng.uniform(size=2), rng.uniform(*GROUND_LUMINANCE, size=2))
    y, x = np.mgrid[:size, :size] / PERIOD
    stripes = np.sin(2 * np.pi * waves * (x * np.cos(angle) + y * np.sin(angle)) + phase)
    share = np.clip(0.5 + 0.25 * stripes + 0.4 * clouds, 0, 1)[..., None]
    return colours[0] * share + colours[1] * (1 - share) + rng.normal(0, 0.025, (size, size, 1))
