"""Outlines of hotspots as polygons that an object has room for."""

import numpy as np

from spectjax.imaging.annotations.tracing import trace_edges
from spectjax.imaging.hotspots import bound_mask
from spectjax.imaging.thorax.transform import Box
from spectjax.report.picture_parts import trace_outline

# 64 KiB of corners, what an element of explicit VR holds; each has a side of a pixel.
_MOST_SIDES = 8000


def draw_outline(mask: np.ndarray) -> tuple[np.ndarray, bool]:
    """Returns a polygon whose area is the mask's pixel count, and whether it is exact.

    A mask of thousands of specks has more corners than fit: a box stands in for it.
    """
    if len(trace_outline(mask)) <= _MOST_SIDES:
        return trace_edges(mask), True
    return draw_box(bound_mask(mask)), False


def draw_box(box: Box) -> np.ndarray:
    """Returns the corners of a box, (5, 2), x before y, the last the first."""
    y0, x0, y1, x1 = box
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)], float)
