"""A skeleton of rectangles, which is carried from one frame to another by hand."""

import numpy as np

from spectjax.bones.regions import NAMES

# (y0, x0, y1, x1) in mm, of an anterior view: the patient's right is on the left.
BONES = {
    "skull": (20, 112, 120, 168),
    "thoracic spine": (140, 124, 300, 156),
    "right ribs": (152, 72, 292, 124),
    "left ribs": (152, 156, 292, 208),
    "right humerus": (152, 40, 332, 64),
    "left humerus": (152, 216, 332, 240),
    "lumbar spine": (300, 124, 380, 156),
    "right hip bone": (380, 80, 460, 140),
    "left hip bone": (380, 140, 460, 200),
}


def paint(box, hw, pixel_mm, shift=(0, 0)):
    """The pixels of a box in mm, moved by a shift in mm."""
    mask = np.zeros(hw, bool)
    y0, x0, y1, x1 = (round(v / pixel_mm) for v in np.add(box, (*shift, *shift)))
    mask[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = True
    return mask


def draw_boxes(bones, hw, pixel_mm, shift=(0, 0)):
    """The map of regions of bones, boxes in mm by name, as `draw_regions` has them."""
    regions = np.zeros(hw, np.uint8)
    for name, box in bones.items():
        regions[paint(box, hw, pixel_mm, shift)] = 1 + NAMES.index(name)
    return regions
