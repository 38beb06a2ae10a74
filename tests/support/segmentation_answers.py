"""What a segmentation model said about images, written down instead of computed."""

import numpy as np

from spectjax.metrics.burden import Burden
from spectjax.metrics.lesions import THRESHOLDS, Lesions, Regions
from spectjax.metrics.pixel import PixelCounts
from spectjax.tasks.hotspots.cases import SegmentationCases


def make_answers(patients, *, tp, fp, fn, found, false):
    """Cases of images with one lesion each, of 10 mm and a contrast of 2.5.

    `found`: how many of the thresholds, the lowest first, find the lesion, None for an
    image without lesion; `false`: how many of them mark one false region.
    """
    n, levels = len(patients), np.arange(len(THRESHOLDS))
    image = np.array([i for i in range(n) if found[i] is not None], np.int64)
    px = np.array([tp[i] + fn[i] for i in image], np.int64)
    hit = np.array([levels < found[i] for i in image], bool).reshape(-1, len(levels))
    marked = np.array([levels < number for number in false]).astype(np.int64)
    fields = {
        "image": image,
        "row": np.full(len(image), 5.0, np.float32),
        "column": np.full(len(image), 5.0, np.float32),
        "area_px": px,
        "area_mm2": np.float32(4 * px),
        "diameter_mm": np.full(len(image), 10.0, np.float32),
        "contrast": np.full(len(image), 2.5, np.float32),
        "counts": np.float64(30 * px),
        "found": hit,
        "dice": np.full(len(image), 0.5, np.float32),
        "hausdorff95_mm": np.full(len(image), 2.0, np.float32),
    }
    tp, fp, fn = np.array(tp), np.array(fp), np.array(fn)
    return SegmentationCases(
        example_ids=[f"{patient}_anterior" for patient in patients],
        patients=list(patients),
        views=["anterior"] * n,
        pixels=PixelCounts(tp, fp, fn, 100 - tp - fp - fn),
        lesions=Lesions(**fields),
        regions=Regions(marked, marked),
        burden=Burden(
            np.float32(4 * (tp + fn)),
            np.float32(4 * (tp + fp)),
            np.float64(30 * (tp + fn)),
            np.float64(30 * (tp + fp)),
        ),
    )
