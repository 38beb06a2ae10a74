"""Views that a model has seen, and what every prediction tells about them.

H and W are rows and columns of what the model sees, K is the number of classes.
"""

import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from spectjax.imaging.canvas import WHOLE_FRAME
from spectjax.imaging.geometry import cut_centre
from spectjax.imaging.thorax import ThoraxImage

if TYPE_CHECKING:  # matplotlib takes a third of a second: not before --help
    from matplotlib.figure import Figure

    from spectjax.bones.burden import Burden
    from spectjax.bones.found import FoundBones
    from spectjax.bones.places import Place

# Of the model that ships with the package.
TRAINED_ALONE = "trained on simulated patients alone"
ModelInfo = Mapping[str, Any]  # where a model comes from and what runs it


@dataclass(frozen=True)
class SeenView:
    """A view and what a model made of it.

    Attributes:
        name: names its outputs.
        thorax: the crop.
        input_hw: (H, W), the central part of the crop's canvas that the model saw.
        answer: of a segmenting model class probabilities, float32, (H, W, K), of a
            classifier (K,); of one that marks instances those of one image: `Instances`
            without the first axis.
        zoom: how many times larger the model saw it than it is.
        strange: that the model learned from another part of the body; else empty.
    """

    name: str
    thorax: ThoraxImage
    input_hw: tuple[int, int]
    answer: Any
    zoom: float = 1.0
    strange: str = ""

    @property
    def counts(self) -> np.ndarray:
        """What the model saw, counts, float32, (H, W)."""
        return cut_centre(self.thorax.counts, self.input_hw)

    @property
    def seen(self) -> np.ndarray:
        """The pixels that the model saw, bool, (H, W) of the whole frame."""
        # Enlarged, less of the crop fits into what the model takes.
        hw = [min(side, math.ceil(side / self.zoom)) for side in self.input_hw]
        return self.spread(np.ones(hw, bool))

    def spread(self, image: np.ndarray) -> np.ndarray:
        """Returns an image of what the model saw on the whole frame, 0 elsewhere."""
        height, width = self.thorax.transform.canvas_hw
        top, left = (height - image.shape[0]) // 2, (width - image.shape[1]) // 2
        canvas = np.zeros((height, width), image.dtype)
        canvas[top : top + image.shape[0], left : left + image.shape[1]] = image
        return self.thorax.transform.undo(canvas)

    @property
    def in_doubt(self) -> bool:
        """Whether the crop may show something else than the thorax; no frame does."""
        return bool(self.thorax.flags)

    @property
    def input_notes(self) -> tuple[str, ...]:
        """Says how what the model saw differs from the crop or from its training."""
        notes = [self.strange] if self.strange else []
        if self.zoom != 1:
            notes.append(
                f"the model sees it resampled, {self.zoom:.2f} times as large: it has "
                "learnt from pixels of another size"
            )
        transform = self.thorax.transform
        y0, x0, y1, x1 = transform.box
        if self.thorax.region == WHOLE_FRAME and transform.box[2:] != (
            y0 + transform.frame_hw[0],
            x0 + transform.frame_hw[1],
        ):
            notes.append(
                f"of a frame of {transform.frame_hw[0]}x{transform.frame_hw[1]} pixels "
                "the model sees what lies around the body"
            )
        height, width = (math.ceil(side / self.zoom) for side in self.input_hw)
        lost = (max(0, y1 - y0 - height), max(0, x1 - x0 - width))
        if any(lost):
            notes.append(
                f"the model sees {height}x{width} pixels of a "
                f"crop of {y1 - y0}x{x1 - x0}: {lost[0]} rows and {lost[1]} columns "
                "of its rim are left out"
            )
        return tuple(notes)


@dataclass(frozen=True)
class MarkedHotspot:
    """A hotspot that a model marked, where the scan shows it.

    Attributes:
        entry: what the view's document says of it.
        mask: its pixels on the whole frame, bool, (H, W). Those of two may overlap.
        place: the bone that it lies in; None if no bones were looked for, or found.
    """

    entry: Mapping[str, Any]
    mask: np.ndarray
    place: "Place | None" = None


@dataclass(frozen=True)
class Finding:
    """What is said about one view.

    Attributes:
        document: for the JSON file.
        draw: draws the picture.
        summary: a few words for the terminal.
        row: of the table of all views; empty where a task has no table.
        hotspots: by falling score; None where a task marks none.
        bones: what the whole frame shows; None if nobody looked, or found any.
    """

    document: dict[str, Any]
    draw: Callable[[], "Figure"]
    summary: str
    row: dict[str, Any] = field(default_factory=dict)
    hotspots: tuple[MarkedHotspot, ...] | None = None
    bones: "FoundBones | None" = None

    def save_picture(self, path: pathlib.Path) -> None:
        """Draws the picture and writes it.

        Raises:
            WriteError: if it cannot be written.
        """
        # Here, since matplotlib takes a third of a second.
        from spectjax.report.picture_parts import save_figure

        save_figure(self.draw(), path)


@dataclass(frozen=True)
class Reading:
    """What was said of one examination.

    Attributes:
        views: those that the model saw, and what is said of each.
        passed_over: why files and views of it could not be used, a sentence each that
            begins with a path.
        burden: how much of the skeleton is marked, or why that is withheld; None if no
            bones were looked for.
    """

    views: Sequence[tuple[SeenView, Finding]]
    passed_over: Sequence[str]
    burden: "Burden | None" = None


# What is said of the views of one examination, in their order.
Describe = Callable[[Sequence[SeenView], ModelInfo], list[Finding]]


def describe_origin(view: SeenView, model_info: ModelInfo) -> dict[str, Any]:
    """Returns the first part of a view's document: the file, the model and the crop.

    Boxes are (y0, x0, y1, x1) in pixels, half-open.
    """
    transform = view.thorax.transform
    return {
        "source": view.thorax.scan.to_json(),
        "model": model_info,
        "warnings": list_warnings(view, model_info),
        "crop": {
            "box": transform.box,
            "canvas_hw": transform.canvas_hw,
            "corner_on_canvas": transform.corner,
            "flags": view.thorax.flags,
            "decision": view.thorax.by_hand or None,
            "overruled_flags": view.thorax.overruled,
            "cleared_flags": view.thorax.cleared,
        },
    }


def list_warnings(view: SeenView, model_info: ModelInfo) -> list[str]:
    """Returns the reasons to doubt what is said of a view, a sentence each."""
    notes = (f"Note: {note}." for note in view.input_notes)
    return [*view.thorax.doubts, *notes, *_warn_of_simulation(model_info)]


def _warn_of_simulation(model_info: ModelInfo) -> list[str]:
    """Returns a sentence if the model, or a member of the ensemble, learnt from it."""
    members = model_info.get("members", [model_info])
    simulated = sum(bool(each.get("trained_on_synthetic_data")) for each in members)
    if not simulated:
        return []
    if "name" in model_info:  # only what learnt from nothing else has one
        return [f"The model {model_info['name']} was {TRAINED_ALONE}."]
    if len(members) == 1:
        return ["The model was trained on simulated patients."]
    which = "All" if simulated == len(members) else f"{simulated} of the"
    verb = "was" if simulated == 1 else "were"
    return [f"{which} {len(members)} models {verb} trained on simulated patients."]
