"""Boxes from Pascal VOC XML, as LabelImg writes it.

H and W are rows and columns of the whole-body frame.
"""

import math
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from spectjax.imaging.annotations.labelme import AnnotationError
from spectjax.imaging.annotations.labelme_xml import check_drawn, parse_xml
from spectjax.imaging.annotations.regions import Region
from spectjax.system.limits import BOXES_BYTES, read_limited
from spectjax.system.messages import UserError


def read_boxes(path: Path, image_hw: tuple[int, int]) -> tuple[Region, ...]:
    """Reads the boxes of one image.

    Coordinates are taken as indices of pixels from 0, the last row and column belonging
    to the box: LabelImg cuts the corners that were drawn to whole pixels. In the
    original VOC the first pixel is 1; its boxes come out one pixel to the right and
    below. A last index that equals W or H, as both write at the edge, is cut there.

    The `filename` in the file is not looked at: who names the file for an image knows.

    Returns:
        For each object a rectangle with the object's name as label.

    Raises:
        AnnotationError: no Pascal VOC, damaged, of an image of another size, or with a
            box that is missing, empty or outside of the frame.
    """
    contents = read_limited(path, BOXES_BYTES, error=AnnotationError)
    try:
        root = parse_xml(contents)
        if root.tag != "annotation":
            raise UserError(f"expected <annotation> of Pascal VOC, found <{root.tag}>")
        check_drawn(root)
        _check_size(root, image_hw)
        return tuple(_read_box(thing, image_hw) for thing in root.findall("object"))
    except UserError as error:
        raise AnnotationError(f"{path}: {error}. Correct the boxes.") from error


def _check_size(root: ElementTree.Element, image_hw: tuple[int, int]) -> None:
    stated = [(root.findtext(f"size/{side}") or "").strip() for side in _SIDES]
    if any(stated) and stated != [str(length) for length in image_hw]:
        raise UserError(
            f"expected boxes of an image of {image_hw[0]}x{image_hw[1]} pixels (rows x "
            f"columns), found {stated[0][:9] or '?'}x{stated[1][:9] or '?'} in <size>"
        )


_SIDES = ("height", "width")


def _read_box(thing: ElementTree.Element, image_hw: tuple[int, int]) -> Region:
    label = (thing.findtext("name") or "").strip()
    if not label:
        raise UserError("expected a <name> for every object, found one without")
    x0, y0, x1, y1 = (
        _read_index(thing, side, label) for side in ("xmin", "ymin", "xmax", "ymax")
    )
    height, width = image_hw
    if not (0 <= x0 <= x1 <= width and 0 <= y0 <= y1 <= height):
        raise UserError(
            f"expected a box {label!r} within {height}x{width} pixels (rows x columns) "
            f"with its least corner first, found x from {x0} to {x1} and y from {y0} "
            f"to {y1}"
        )
    if x0 == width or y0 == height:
        raise UserError(f"expected a box {label!r} with pixels, found none at {x0, y0}")
    right, below = min(x1 + 1, width), min(y1 + 1, height)
    corners = [[x0, y0], [right, y0], [right, below], [x0, below]]
    return Region(label, np.array(corners, np.float64), None)


def _read_index(thing: ElementTree.Element, side: str, label: str) -> int:
    text = (thing.findtext(f"bndbox/{side}") or "").strip()
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(
            f"expected a number as <{side}> of {label!r}, found {text[:40]!r}"
        )
    return math.floor(value)
