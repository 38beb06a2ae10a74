"""Mask R-CNNs, images and weights that anyone can draw again, without PyTorch."""

import dataclasses
import math
import re
import zlib
from collections.abc import Mapping

import numpy as np

# Weights whose names match are drawn smaller or larger, so that features stay about 1
# in all layers and proposals differ.
FACTORS = (
    (r"bn3\.weight|downsample\.1\.weight", 0.5),
    (r"inner_blocks\.0.*weight", 0.5),
    (r"inner_blocks\.2.*weight", 2.0),
    (r"inner_blocks\.3.*weight", 8.0),
    (r"rpn.*bbox_pred\.weight", 0.3),
    (r"cls_score\.weight", 1.0),
    (r"box_predictor\.bbox_pred\.weight", 0.5),
)


@dataclasses.dataclass(frozen=True)
class Setting:
    """One size of the network and of its input.

    Attributes:
        stage_sizes: blocks in each stage of the body.
        pyramid_features: channels of the pyramid.
        box_features: width of the box head.
        mask_features: channels of the mask head.
        num_classes: K, background included.
        image_hw: height and width of an image, in pixels.
        anchor_sizes: one for each level, in pixels.
        pre_nms: best anchors of a level that may become proposals.
        proposals: P, kept of all levels.
        detections: D.
        seed: of the images, chosen for differing labels and ROIs of several levels.
    """

    stage_sizes: tuple[int, ...]
    pyramid_features: int
    box_features: int
    mask_features: int
    num_classes: int
    image_hw: tuple[int, int]
    anchor_sizes: tuple[int, ...]
    pre_nms: int
    proposals: int
    detections: int
    seed: int


SMALL = Setting(
    stage_sizes=(1, 1, 1, 1),
    pyramid_features=16,
    box_features=32,
    mask_features=16,
    num_classes=3,
    image_hw=(128, 160),
    anchor_sizes=(16, 32, 64, 96, 128),
    pre_nms=16,
    proposals=40,
    detections=6,
    seed=12,
)
# maskrcnn_resnet50_fpn itself, with fewer proposals and images of 256 x 288 pixels.
FULL = Setting(
    stage_sizes=(3, 4, 6, 3),
    pyramid_features=256,
    box_features=1024,
    mask_features=256,
    num_classes=2,
    image_hw=(256, 288),
    anchor_sizes=(32, 64, 128, 256, 512),
    pre_nms=60,
    proposals=40,
    detections=8,
    seed=2,
)


def draw_images(setting: Setting) -> np.ndarray:
    """Returns two images of smooth spots and noise, float32, (2, 3, H, W)."""
    random = np.random.RandomState(setting.seed)
    height, width = setting.image_hw
    y, x = np.mgrid[:height, :width]
    images = random.uniform(-0.5, 0.5, (2, 3, height, width))
    for image in images:
        for v, u in random.uniform(0, 1, (6, 2)):
            spot = ((y - v * height) / height) ** 2 + ((x - u * width) / width) ** 2
            image += np.exp(-40 * spot) * random.uniform(-3, 3, (3, 1, 1))
    return images.astype(np.float32)


def draw_truth(setting: Setting) -> tuple[np.ndarray, np.ndarray]:
    """Returns lesions of the first image; the second has none.

    Returns:
        Numbers of the lesions, from 1, and their classes at each pixel: uint8, each
        (2, H, W).
    """
    height, width = setting.image_hw
    y, x = np.mgrid[:height, :width]
    instances = np.zeros((2, height, width), np.uint8)
    classes = np.zeros((2, height, width), np.uint8)
    # Centre and half axes as parts of the image's size.
    ellipses = (
        (0.30, 0.21, 0.22, 0.11),
        (0.68, 0.55, 0.13, 0.14),
        (0.33, 0.79, 0.20, 0.17),
    )
    for number, (v, u, a, b) in enumerate(ellipses, start=1):
        inside = ((y / height - v) / a) ** 2 + ((x / width - u) / b) ** 2 < 1
        instances[0][inside] = number
        classes[0][inside] = 1 + number % (setting.num_classes - 1)
    return instances, classes


def draw_weights(
    shapes: Mapping[str, tuple[int, ...]], *, balanced: bool = True
) -> dict[str, np.ndarray]:
    """Returns arrays by torchvision's names that keep the size of what passes.

    `RandomState` promises the same numbers for ever.

    Args:
        shapes: by name.
        balanced: whether kernels have the mean 0 and some are scaled by `FACTORS`, as a
            Mask R-CNN needs it.
    """
    return {name: _draw(name, shape, balanced) for name, shape in shapes.items()}


def _draw(name: str, shape: tuple[int, ...], balanced: bool) -> np.ndarray:
    if name.endswith("num_batches_tracked"):
        return np.zeros((), np.int64)
    drawn = np.random.RandomState(zlib.crc32(name.encode())).uniform(-1, 1, shape)
    if len(shape) > 1:
        fan_in = shape[0] if "conv5_mask" in name else math.prod(shape[1:])
        if balanced:
            drawn -= drawn.mean(tuple(range(1, len(shape))), keepdims=True)
        drawn *= math.sqrt(6 / fan_in)
    elif name.endswith(("running_var", "weight")):
        drawn = 1 + drawn / 2
    else:
        drawn /= 20
    for pattern, factor in FACTORS if balanced else ():
        if re.search(pattern, name):
            drawn *= factor
    return drawn.astype(np.float32)
