"""What a model that outlines each lesion said about every image, ready to be scored.

The number of images is N, of detections in an image D, of lesions G; height and width
are H and W. Masks are kept as run lengths: those of all folds fit into memory so.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from spectjax.imaging.hotspots import (
    CLASS_NAMES,
    Instances,
    bound_mask,
    decode_rle,
    encode_rle,
    number_regions,
)
from spectjax.input_pipeline import Examples
from spectjax.metrics.instance_matching import (
    Overlaps,
    measure_box_area,
    measure_box_iou,
    measure_mask_iou,
)
from spectjax.system.messages import UserError


@dataclass(frozen=True)
class Outlines:
    """What is outlined in one image: G lesions by the readers, D by a model.

    Attributes:
        boxes: (y0, x0, y1, x1), pixels, float32, (D, 4).
        labels: classes from 1, int32, (D,).
        scores: float32, (D,), falling; 1 for what the readers outlined.
        masks: run lengths, see `spectjax.imaging.hotspots.encode_rle`, length D.
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    masks: list[dict[str, Any]]

    def __len__(self) -> int:
        """Returns D."""
        return len(self.masks)


@dataclass(frozen=True)
class DetectionCases:
    """Images, the lesions in them, and what a model detected.

    Attributes:
        example_ids: unique names, length N.
        patients: pseudonyms, length N.
        sizes: height and width in pixels, length N.
        lesions: what the readers outlined, length N.
        detections: what the model outlined, length N.
    """

    example_ids: list[str]
    patients: list[str]
    sizes: list[tuple[int, int]]
    lesions: list[Outlines]
    detections: list[Outlines]

    def __len__(self) -> int:
        """Returns N."""
        return len(self.example_ids)


def measure_detections(examples: Examples, instances: Instances) -> DetectionCases:
    """Returns what a model detected beside what the readers marked.

    Args:
        examples: N images with truth.
        instances: of the same images, numpy's arrays, D in each.

    Raises:
        ValueError: if the shapes do not match, or a detection has a score or a box that
            is not finite, a box whose ends are exchanged, or an unknown class.
    """
    n, height, width = examples.masks.shape
    depth = instances.scores.shape[1:]
    expected = {
        "boxes": (n, *depth, 4),
        "scores": (n, *depth),
        "labels": (n, *depth),
        "valid": (n, *depth),
        "masks": (n, *depth, height, width),
    }
    for name, shape in expected.items():
        found = getattr(instances, name).shape
        if len(depth) != 1 or found != shape:
            raise ValueError(
                f"Expected {name} of instances {shape} for masks "
                f"{examples.masks.shape}, got {found}."
            )
    return DetectionCases(
        example_ids=examples.example_ids,
        patients=examples.patients,
        sizes=[(height, width)] * n,
        lesions=[outline_lesions(mask) for mask in examples.masks],
        detections=[
            _outline_detections(instances, i, name)
            for i, name in enumerate(examples.example_ids)
        ],
    )


def outline_lesions(mask: np.ndarray) -> Outlines:
    """Returns the lesions of an image: the 8-connected regions of the readers' mask.

    Lesions that touch count as one, as in `spectjax.metrics.lesions`; its class is that
    of most of its pixels.

    Args:
        mask: class of each pixel, 0 is background, (H, W).
    """
    regions, n_regions = number_regions(mask > 0)
    masks = [regions == region for region in range(1, n_regions + 1)]
    return Outlines(
        boxes=np.array([bound_mask(each) for each in masks], np.float32).reshape(-1, 4),
        labels=np.array([np.bincount(mask[each]).argmax() for each in masks], np.int32),
        scores=np.ones(n_regions, np.float32),
        masks=[encode_rle(each) for each in masks],
    )


def compare_boxes(cases: DetectionCases) -> list[Overlaps]:
    """Returns how the boxes of the detections lie on those of the lesions.

    The area of a lesion is that of its mask, of a detection that of its box, as in
    COCO.
    """
    return [
        _compare(
            lesions,
            found,
            measure_box_iou(found.boxes, lesions.boxes),
            measure_box_area(found.boxes),
        )
        for lesions, found in zip(cases.lesions, cases.detections, strict=True)
    ]


def compare_masks(cases: DetectionCases) -> list[Overlaps]:
    """Returns how the masks of the detections lie on those of the lesions."""
    overlaps = []
    for lesions, found in zip(cases.lesions, cases.detections, strict=True):
        iou = np.zeros((len(found), len(lesions)))
        if iou.size:
            iou = measure_mask_iou(_decode(found), _decode(lesions))
        overlaps.append(_compare(lesions, found, iou, _count_pixels(found)))
    return overlaps


def _compare(
    lesions: Outlines, found: Outlines, iou: np.ndarray, areas: np.ndarray
) -> Overlaps:
    return Overlaps(
        iou=iou,
        scores=found.scores,
        labels=found.labels,
        areas=areas,
        truth_labels=lesions.labels,
        truth_areas=_count_pixels(lesions),
    )


def _outline_detections(instances: Instances, row: int, example_id: str) -> Outlines:
    """Returns the valid detections of one image, the surest first."""
    valid = np.flatnonzero(instances.valid[row])
    valid = valid[np.argsort(-instances.scores[row, valid], kind="stable")]
    boxes, scores = instances.boxes[row, valid], instances.scores[row, valid]
    labels = instances.labels[row, valid]
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise UserError(
            f"{example_id}: expected finite boxes and scores from the model, got some "
            "that are not. Its parameters have probably diverged: train again with a "
            "smaller learning rate."
        )
    if (boxes[:, 2:] < boxes[:, :2]).any():
        raise ValueError(
            f"{example_id}: expected boxes (y0, x0, y1, x1) from the model, got some "
            "that end before they begin."
        )
    if not np.isin(labels, np.arange(1, len(CLASS_NAMES))).all():
        raise ValueError(
            f"{example_id}: expected labels 1 to {len(CLASS_NAMES) - 1} from the "
            f"model, got {sorted(set(labels.tolist()))}."
        )
    return Outlines(
        boxes=boxes.astype(np.float32),
        labels=labels.astype(np.int32),
        scores=scores.astype(np.float32),
        masks=[encode_rle(mask) for mask in instances.masks[row, valid]],
    )


def _count_pixels(outlines: Outlines) -> np.ndarray:
    """Returns the areas of the masks, int64, (D,)."""
    return np.array([sum(mask["counts"][1::2]) for mask in outlines.masks], np.int64)


def _decode(outlines: Outlines) -> np.ndarray:
    """Returns the masks, bool, (D, H, W)."""
    return np.stack([decode_rle(mask) for mask in outlines.masks])
