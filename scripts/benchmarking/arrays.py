"""Synthetic input, the same for every framework."""

import numpy as np


def synthesise(
    image_hwc: tuple[int, int, int], batch_size: int
) -> dict[str, np.ndarray]:
    """Returns a batch: `images` (B, H, W, C), and classes of pixels and of images.

    These are `masks`, uint8, (B, H, W), and `labels`, int32, (B,), in turn 0 and 1.
    Images of one channel are Poisson counts, uint16; others are normal, float32.
    """
    generator = np.random.default_rng(0)
    shape = (batch_size, *image_hwc)
    if image_hwc[-1] == 1:
        images = generator.poisson(20, shape).astype(np.uint16)
    else:
        images = generator.standard_normal(shape, np.float32)
    masks = generator.random(shape[:-1]) < 0.02
    return {
        "images": images,
        "masks": masks.astype(np.uint8),
        "labels": np.arange(batch_size, dtype=np.int32) % 2,
    }


def draw_parameter(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Returns a kernel by He's rule, or ones for what has one axis."""
    if len(shape) < 2:
        return np.ones(shape, dtype)
    kernel = np.random.default_rng(0).standard_normal(shape, np.float32)
    return (kernel * np.sqrt(2 / np.prod(shape[:-1]))).astype(dtype)
