"""A reader's outlines without the reader: a new LabelMe file with nothing else."""

import base64
import dataclasses
from typing import Any, NamedTuple

import numpy as np

from spectjax.imaging.annotations.labelme import Annotation
from spectjax.imaging.annotations.labelme_json import encode_json
from spectjax.imaging.annotations.masks import encode_grey
from spectjax.imaging.annotations.regions import Region, lies_inside
from spectjax.imaging.deidentify.image import RefusedError
from spectjax.imaging.diagnosis import clean_word


class WrittenView(NamedTuple):
    """A view that went out: its new name, (H, W), and whether it is a phantom's."""

    name: str
    hw: tuple[int, int]
    synthetic: bool


def encode_outlines(
    annotation: Annotation, view: WrittenView, words: frozenset[str]
) -> str:
    """Returns wkentaro's JSON with shapes and words, and nothing else of the original.

    `words` are the labels that may go out, as `clean_word` gives them.
    """
    if annotation.image_hw not in (None, view.hw):
        raise RefusedError("the annotation is of an image of another size")
    shapes = []
    for region in annotation.regions:
        label = clean_word(region.label)
        if label not in words:
            raise RefusedError("a label is not among the words allowed by --word")
        if not region.place(view.hw)[0].any():
            raise RefusedError("an outline has no pixel, and would count as none drawn")
        shapes.append({"label": label, **_encode_region(region, view.hw)})
    image = f"{view.name}.png"
    return encode_json(image, view.hw, shapes, synthetic=view.synthetic)


def _encode_region(region: Region, hw: tuple[int, int]) -> dict[str, Any]:
    rest: dict[str, Any] = {"group_id": None, "description": "", "flags": {}}
    if region.mask is None:
        points = _round_points(region, hw).tolist()
        return {"points": points, "shape_type": "polygon", **rest}
    rows, columns = np.nonzero(region.mask)
    top, left = region.corner_yx
    y0, y1 = int(rows.min()), int(rows.max())
    x0, x1 = int(columns.min()), int(columns.max())
    png = encode_grey(region.mask[y0 : y1 + 1, x0 : x1 + 1].astype(np.uint8) * 255)
    return {
        "points": [[left + x0, top + y0], [left + x1, top + y1]],
        "shape_type": "mask",
        "mask": base64.b64encode(png).decode(),
        **rest,
    }


def _round_points(region: Region, hw: tuple[int, int]) -> np.ndarray:
    """Returns corners (N, 2) with as few digits as fill the same pixels."""
    points = np.asarray(region.polygon_xy)
    # A number far beyond the frame is no place in it.
    if not lies_inside(points, hw):
        raise RefusedError("an outline lies outside of its image")
    filled = region.fill(hw)
    for decimals in (1, 2, 3, 4, 6):
        rounded = dataclasses.replace(region, polygon_xy=points.round(decimals))
        if np.array_equal(rounded.fill(hw), filled):
            return points.round(decimals)
    return points
