"""A reader who knows what simulated patients have, and corrects drafts in LabelMe.

H and W are rows and columns of a view.
"""

import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from spectjax.imaging.annotations.drafts import CHECKED
from spectjax.imaging.annotations.labelme_json import encode_json
from spectjax.imaging.annotations.regions import Region
from spectjax.imaging.annotations.tracing import trace_polygons
from spectjax.imaging.diagnosis import METASTASIS
from spectjax.imaging.dicom.reading import find_bone_scans
from spectjax.imaging.hotspots import number_regions
from spectjax.imaging.scan import BoneScan
from spectjax.metrics.lesions import find_meetings, measure_contrast
from spectjax.system.files import write_file

_LABELME = "5.5.0"  # what a file is saved with


class Eyes(NamedTuple):
    """What a reader sees, and lets pass.

    Attributes:
        contrast: of a lesion that is seen without a draft, see `measure_contrast`.
        leave: Dice of an outline that is good enough.
    """

    contrast: float
    leave: float


class Reader:
    """Reads the patients of a phantom's folder."""

    def __init__(self, phantom: pathlib.Path, eyes: Eyes) -> None:
        """Takes the folder, which has the truth, and what is seen."""
        self._phantom, self._eyes = phantom, eyes

    def outline_all(self, files: Sequence[pathlib.Path], folder: pathlib.Path) -> None:
        """Writes what is seen without a draft, as annotations in a folder."""
        for scan, lesions in self._read(files):
            nothing = np.zeros(lesions.shape, bool)
            shapes = make_shapes(correct(nothing, lesions, scan.counts, self._eyes))
            write_file(
                folder / "annotations" / "reader" / f"{scan.name}.json",
                encode_json(f"{scan.name}.png", lesions.shape, shapes, synthetic=True),
            )

    def correct_all(self, files: Sequence[pathlib.Path], folder: pathlib.Path) -> None:
        """Corrects the drafts in a folder and saves them as LabelMe does.

        A view without one, in which no thorax was found, is passed over.
        """
        for scan, lesions in self._read(files):
            path = folder / f"{scan.name}.json"
            if not path.is_file():
                continue
            document = json.loads(path.read_text())
            drawn = np.zeros(lesions.shape, bool)
            for shape in document["shapes"]:
                points = np.array(shape["points"], np.float64)
                drawn |= Region(shape["label"], points, None).fill(lesions.shape)
            masks = correct(drawn, lesions, scan.counts, self._eyes)
            document |= {
                "version": _LABELME,
                "flags": document["flags"] | {CHECKED: True},
                "shapes": make_shapes(masks),
            }
            write_file(path, json.dumps(document, indent=2))

    def _read(
        self, files: Sequence[pathlib.Path]
    ) -> Iterator[tuple[BoneScan, np.ndarray]]:
        """Yields each view and the numbers of its metastases, 0 elsewhere, (H, W)."""
        scans, errors = find_bone_scans(files)
        if errors:
            raise errors[0]
        for scan in scans:
            name = scan.path.stem.partition("_")[0]
            with np.load(self._phantom / "truth" / f"{name}.npz") as truth:
                masks = np.unpackbits(truth[f"{scan.view}_lesion_masks"], axis=-1)
            yield scan, number_regions(np.asarray(masks.any(axis=0)))[0]


def correct(
    drawn: np.ndarray, lesions: np.ndarray, counts: np.ndarray, eyes: Eyes
) -> list[np.ndarray]:
    """Returns the pixels of each outline that a reader leaves or draws, bool, (H, W).

    What meets no lesion is gone. An outline that alone meets a lesion, and no other,
    stays where it is good enough; else the lesion is outlined anew. A missed one is
    outlined if it is seen.

    Args:
        drawn: pixels of the draft, bool, (H, W).
        lesions: numbers of the true lesions, 0 elsewhere, (H, W).
        counts: of the view, (H, W).
        eyes: what is seen and let pass.
    """
    regions, _ = number_regions(drawn)
    met, met_lesions = find_meetings(regions[None], lesions)
    masks = []
    for lesion in range(1, int(lesions.max()) + 1):
        true = lesions == lesion
        own = met[met_lesions == lesion]
        if len(own) == 1 and np.sum(met == own[0]) == 1:
            left = regions == own[0]
            dice = 2 * np.sum(left & true) / (left.sum() + true.sum())
            masks.append(left if dice >= eyes.leave else true)
        elif len(own) or measure_contrast(counts, lesions, lesion) >= eyes.contrast:
            masks.append(true)
    return masks


def make_shapes(masks: Sequence[np.ndarray]) -> list[dict[str, Any]]:
    """Returns masks as LabelMe has outlines."""
    return [
        {
            "label": METASTASIS,
            "points": polygon.tolist(),
            "group_id": None,
            "description": "",
            "shape_type": "polygon",
            "flags": {},
            "mask": None,
        }
        for mask in masks
        for polygon in trace_polygons(mask)
    ]
