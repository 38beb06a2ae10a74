"""The images that are explained, and where their pixels lie: H rows and W columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spectjax.explanation.pointing import Box
from spectjax.imaging.geometry import cut_centre
from spectjax.imaging.thorax import CropTransform, ThoraxImage
from spectjax.input_pipeline import Examples
from spectjax.system.messages import UserError


@dataclass(frozen=True)
class Subject:
    """An image as the classifier sees it.

    Attributes:
        name: of its files, without suffix.
        title: what it is, one line.
        counts: the classifier's part of the thorax canvas, (H, W).
        corner: row and column of that part on the canvas.
        source: where it comes from, ready for JSON.
        spacing_mm: size of a pixel (row, column), or None if unknown.
        synthetic: whether it is simulated.
        warnings: reasons to doubt it, a sentence each.
        transform: from the whole-body frame to the canvas; None if that is not known.
        label: its true class, or None.
        hotspots: by the readers, bool, (H, W), or None.
    """

    name: str
    title: str
    counts: np.ndarray
    corner: tuple[int, int]
    source: dict[str, Any]
    spacing_mm: tuple[float, float] | None
    synthetic: bool
    warnings: tuple[str, ...] = ()
    transform: CropTransform | None = None
    label: int | None = None
    hotspots: np.ndarray | None = None

    def locate(self, box: Box) -> dict[str, Any]:
        """Returns where a box of the image lies on the canvas and in the whole body.

        Boxes are (y0, x0, y1, x1) in pixels, half-open; centres are (y, x) in pixels,
        where the first pixel covers [0, 1), and in mm from the upper left corner, if
        the size of a pixel is known. In the whole body the box ends where the crop
        ends; `whole_body` is None if it lies on the padding around the crop, or if the
        way back is not known.
        """
        row, column = self.corner
        y0, x0, y1, x1 = box
        on_canvas = (y0 + row, x0 + column, y1 + row, x1 + column)
        in_frame = None
        if self.transform is not None:
            moved = np.array(self.transform.box_to_frame(on_canvas))
            top, left, bottom, right = self.transform.box
            y0, x0, y1, x1 = np.clip(
                moved, (top, left, top, left), (bottom, right, bottom, right)
            ).tolist()
            if y0 < y1 and x0 < x1:
                in_frame = (y0, x0, y1, x1)
        return {
            "thorax": self._describe_box(on_canvas),
            "whole_body": None if in_frame is None else self._describe_box(in_frame),
        }

    def _describe_box(self, box: Box) -> dict[str, Any]:
        y0, x0, y1, x1 = box
        y, x = centre = (y0 + y1) / 2, (x0 + x1) / 2
        spacing = self.spacing_mm
        in_mm = None if spacing is None else (y * spacing[0], x * spacing[1])
        return {"box": box, "centre": centre, "centre_mm": in_mm}


def take_view(
    thorax: ThoraxImage, name: str, image_hw: tuple[int, int], strange: str = ""
) -> Subject:
    """Returns the subject of a view; `strange` as of `SeenView`."""
    scan, transform = thorax.scan, thorax.transform
    return Subject(
        name=name,
        title=scan.title,
        counts=cut_centre(thorax.counts, image_hw),
        corner=_find_corner(transform.canvas_hw, image_hw),
        source=scan.to_json()
        | {"crop_box": transform.box, "crop_flags": thorax.flags}
        | {"crop_decision": thorax.by_hand or None},
        spacing_mm=scan.spacing_mm,
        synthetic=scan.synthetic,
        warnings=(*([f"Note: {strange}."] if strange else []), *thorax.doubts),
        transform=transform,
    )


def take_example(
    examples: Examples, row: int, name: str, image_hw: tuple[int, int]
) -> Subject:
    """Returns the subject of a row of a data set, with what the readers say of it.

    The examples have whole canvases.
    """
    canvas_hw = examples.masks.shape[1:]
    spacing = examples.spacing_mm[row]
    known = tuple(spacing.tolist()) if np.isfinite(spacing).all() else None
    hotspots = cut_centre(examples.masks[row] > 0, image_hw)
    view, diagnosis = examples.views[row], examples.diagnoses[row]
    return Subject(
        name=name,
        title=f"{examples.example_ids[row]}: {view} view, truth: {diagnosis}",
        counts=cut_centre(examples.images[row, :, :, 0], image_hw),
        corner=_find_corner(canvas_hw, image_hw),
        source={
            "data_set": examples.name,
            "split": examples.split,
            "example_id": examples.example_ids[row],
            "patient": examples.patients[row],
            "view": view,
            "diagnosis": diagnosis,
            "spacing_mm": known,
            "synthetic": examples.synthetic,
        },
        spacing_mm=known,
        synthetic=examples.synthetic,
        label=int(examples.labels[row]),
        hotspots=hotspots if hotspots.any() else None,
    )


def pick_examples(
    labels: np.ndarray, odds: np.ndarray, count: int
) -> dict[str, list[int]]:
    """Returns the surest images of each of the four outcomes, the surest first.

    Args:
        labels: 0 normal, 1 metastasis, (N,).
        odds: log-odds of metastasis, (N,); 0 counts as normal.
        count: how many of each outcome, or as many as there are.
    """
    positive = odds > 0
    wanted = {
        "true_positive": positive & (labels == 1),
        "false_negative": ~positive & (labels == 1),
        "false_positive": positive & (labels == 0),
        "true_negative": ~positive & (labels == 0),
    }
    surest = np.argsort(-np.abs(odds), kind="stable")
    return {
        outcome: [int(i) for i in surest if rows[i]][:count]
        for outcome, rows in wanted.items()
    }


def find_rows(examples: Examples, names: Sequence[str]) -> list[int]:
    """Returns the rows of the examples of these names.

    Raises:
        ValueError: if one is not among them.
    """
    rows = {name: row for row, name in enumerate(examples.example_ids)}
    unknown = [name for name in names if name not in rows]
    if unknown:
        raise UserError(
            f"{examples.name}, {examples.split}: expected ids of its "
            f"{len(examples)} examples, as in the run's eval/cases.csv, found "
            f"{', '.join(unknown)}."
        )
    return [rows[name] for name in names]


def _find_corner(
    canvas_hw: tuple[int, ...], image_hw: tuple[int, int]
) -> tuple[int, int]:
    """Returns where the central image_hw pixels begin, as `cut_centre` cuts them."""
    return (canvas_hw[0] - image_hw[0]) // 2, (canvas_hw[1] - image_hw[1]) // 2
