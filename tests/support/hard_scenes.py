"""Scenes: a phantom patient's expected image that can be changed, with its truth."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import ndimage

from spectjax.imaging.scan import BoneScan

SHOULDERS = ("clavicle", "scapula", "humerus")


@dataclasses.dataclass
class Scene:
    """One view before its counts: expectation and masks (H, W), spacing (mm).

    `develop` makes the picture that reaches a user out of the counts.
    """

    expected: np.ndarray
    ribs: np.ndarray
    shoulders: np.ndarray
    bones: dict[str, tuple[int, int, int, int]]
    spacing_mm: float | tuple[float, float] | None
    counts: float = 0.6e6  # of the whole view
    develop: Callable[[np.ndarray], np.ndarray] = np.asarray

    @property
    def bright(self):
        """What a bright bone is expected to have."""
        return np.percentile(self.expected, 99.5)

    @property
    def box(self):
        """The true box: y0, x0, y1, x1."""
        rows, columns = (
            np.flatnonzero(self.ribs.any(1)),
            np.flatnonzero(self.ribs.any(0)),
        )
        top = np.flatnonzero(self.shoulders.any(1))[0]
        return np.array([top, columns[0], rows[-1] + 1, columns[-1] + 1])

    def centre(self, bone):
        """Row and column in the middle of a bone."""
        y0, x0, y1, x1 = self.bones[bone]
        return (y0 + y1) / 2, (x0 + x1) / 2

    def outwards(self, bone):
        """1 if the bone is on the right of the picture, else -1."""
        return 1 if self.centre(bone)[1] > self.centre("T6")[1] else -1

    def add(self, row, column, half_height, half_width, brightness):
        """Adds a hot ellipse, in units of bright bone."""
        self.expected = self.expected + brightness * self.bright * ellipse(
            self.expected.shape, row, column, half_height, half_width
        )

    def dim(self, row, column, half_height, half_width, share):
        """Takes a share of the counts out of an ellipse."""
        self.expected = self.expected * (
            1
            - share * ellipse(self.expected.shape, row, column, half_height, half_width)
        )

    def move(self, change):
        """Moves image and masks alike."""
        self.expected = change(self.expected)
        self.ribs = change(self.ribs)
        self.shoulders = change(self.shoulders)


def ellipse(shape, row, column, half_height, half_width):
    y, x = np.mgrid[: shape[0], : shape[1]]
    inside = ((y - row) / half_height) ** 2 + ((x - column) / half_width) ** 2 <= 1
    return ndimage.gaussian_filter(inside.astype(float), 2.5)


def line(shape, start, end):
    """A tube of 3 pixels from one point to the other."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    (row, column), (down, across) = start, np.subtract(end, start)
    along = ((y - row) * down + (x - column) * across) / (down**2 + across**2)
    along = np.clip(along, 0, 1)
    distance = np.hypot(y - row - along * down, x - column - along * across)
    return np.exp(-0.5 * (distance / 3) ** 2)


def make_scene(patient, view):
    seen = patient.views[view]
    names = np.array(seen.bone_names)
    extents = {
        name: (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1)
        for name, mask in zip(seen.bone_names, seen.bone_masks, strict=True)
        if (rows := np.flatnonzero(mask.any(1))).size
        and (columns := np.flatnonzero(mask.any(0))).size
    }
    of_ribs = np.char.find(names, "rib") >= 0
    of_shoulders = np.isin([name.split()[-1] for name in names], SHOULDERS)
    return Scene(
        seen.expectation.astype(float),
        seen.bone_masks[of_ribs].any(axis=0),
        seen.bone_masks[of_shoulders].any(axis=0),
        extents,
        patient.spacing_mm,
    )


def take(scene, view):
    """The scan of a scene: Poisson counts, as many as it says."""
    mean = scene.expected * scene.counts / scene.expected.sum()
    spacing = scene.spacing_mm
    counts = scene.develop(np.random.default_rng(3).poisson(mean))
    return BoneScan(
        counts=counts.astype(np.float32),
        view=view,
        view_evidence="test",
        spacing_mm=(spacing, spacing) if isinstance(spacing, float) else spacing,
        path=Path("hard.dcm"),
        frame=0,
        patient_key="",
        patient_evidence="Patient ID",
        image_key="",
        synthetic=True,
    )
