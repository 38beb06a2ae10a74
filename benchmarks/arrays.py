"""Synthetic input, the same for every framework."""

import math

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
    images: np.ndarray = generator.standard_normal(shape, np.float32)
    if image_hwc[-1] == 1:
        images = generator.poisson(20, shape).astype(np.uint16)
    masks = generator.random(shape[:-1]) < 0.02
    return {
        "images": images,
        "masks": masks.astype(np.uint8),
        "labels": np.arange(batch_size, dtype=np.int32) % 2,
    }


def synthesise_lesions(
    side: int, batch_size: int, count: int, diameters: tuple[float, float]
) -> dict[str, np.ndarray]:
    """Returns a batch of images with lesions, ellipses that do not touch.

    Args:
        side: height and width of the images, pixels.
        batch_size: number of images B.
        count: lesions of each image.
        diameters: smallest and largest; the logarithm is uniform. pixels.

    Returns:
        `images`, Poisson counts, uint16, (B, side, side, 1), without a sign of the
        lesions; `instances`, the number of each pixel's lesion or 0, and `masks`, 0 or
        1, uint8, (B, side, side).

    Raises:
        ValueError: if the largest lesions would touch.
    """
    per_row = int(np.ceil(np.sqrt(count)))
    cell = side / per_row
    if diameters[1] >= cell:
        raise ValueError(f"Expected diameters below {cell:.4g} px, got {diameters[1]}.")
    generator = np.random.default_rng(0)
    bounds = math.log(diameters[0]), math.log(diameters[1])
    rows, columns = np.mgrid[:side, :side] + 0.5
    instances = np.zeros((batch_size, side, side), np.uint8)
    for image in instances:
        for number in range(count):
            row, column = (np.array(divmod(number, per_row)) + 0.5) * cell
            height, width = np.exp(generator.uniform(*bounds, size=2))
            distance = ((rows - row) / height) ** 2 + ((columns - column) / width) ** 2
            image[distance < 0.25] = number + 1
    images = generator.poisson(20, (*instances.shape, 1)).astype(np.uint16)
    return {
        "images": images,
        "instances": instances,
        "masks": (instances > 0).astype(np.uint8),
    }


def draw_parameter(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Returns a kernel by He's rule, or ones for what has one axis."""
    if len(shape) < 2:
        return np.ones(shape, dtype)
    kernel = np.random.default_rng(0).standard_normal(shape, np.float32)
    return (kernel * np.sqrt(2 / np.prod(shape[:-1]))).astype(dtype)
