"""Drafts against what readers made of them, and rounds of drafts against each other.

A file is compared inside the crop that the model looked at; what a reader outlined
elsewhere is counted apart. Regions are 8-connected, as everywhere, and meet by the rule
of `spectjax.metrics.lesions`: a region of the draft that meets a lesion of the reader's
was moved, or is unchanged if they have the same pixels; one that meets none was
removed, and a lesion that no region meets was added. The number of files is N.
"""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spectjax.evaluation.batches import join_cases
from spectjax.imaging.annotations.consensus import agree
from spectjax.imaging.annotations.drafts import Draft
from spectjax.imaging.annotations.labelme import Annotation
from spectjax.imaging.annotations.regions import Region
from spectjax.imaging.hotspots import number_regions
from spectjax.metrics.burden import measure_burden
from spectjax.metrics.intervals import bootstrap_sums, describe_intervals
from spectjax.metrics.lesions import find_meetings, measure_lesions
from spectjax.metrics.pixel import count_pixels, score_pixels
from spectjax.tasks.hotspots.cases import SegmentationCases, join_segmentation_cases
from spectjax.tasks.hotspots.scores import summarise_segmentation

KINDS = ("unchanged", "moved", "removed", "added")
_MADE = KINDS[1:]  # by a reader
# Scores that need the counts of the scan, which the files do not have, or that say
# little of a few files.
_LEFT_OUT = ("evident", "by_contrast", "by_size")
_LEAST_LOG_ODDS, _MOST_LOG_ODDS = 1e-3, 20.0


@dataclass(frozen=True)
class Changes:
    """How many regions readers left or changed, int64, each (N,).

    Attributes:
        unchanged: of the draft, with the same pixels as a lesion.
        moved: of the draft, that meet a lesion of other pixels.
        removed: of the draft, that meet no lesion.
        added: lesions that no region of the draft meets.
        outside: lesions that lie outside of the crop.
    """

    unchanged: np.ndarray
    moved: np.ndarray
    removed: np.ndarray
    added: np.ndarray
    outside: np.ndarray


@dataclass(frozen=True)
class Corrections:
    """N files that readers made of drafts.

    Attributes:
        cases: the drafts, as what a model marked, and the readers' lesions. What was
            drawn has a probability above 0.5; from there on it rises with the score.
        changes: what became of the regions.
        readers: who corrected, length N.
        models: who drew, length N.
        checked: whether the reader said to have looked at the whole image, bool, (N,).
        synthetic: whether the patient is simulated, bool, (N,).
    """

    cases: SegmentationCases
    changes: Changes
    readers: list[str]
    models: list[str]
    checked: np.ndarray
    synthetic: np.ndarray

    def __len__(self) -> int:
        """Returns N."""
        return len(self.cases)

    @property
    def dice(self) -> np.ndarray:
        """Of what was drawn and what was corrected, 1 where both are empty, (N,)."""
        return score_pixels(self.cases.pixels)["Dice"]


def measure_correction(annotation: Annotation, draft: Draft) -> Corrections:
    """Compares one file with the draft that it began as.

    Raises:
        AnnotationError: if an outline has no pixel, or there is more of them than
            readers draw.
        ValueError: if the file does not state the size of its image.
    """
    if annotation.image_hw is None:
        raise ValueError("Expected a draft's file, which states the size of its image.")
    hw = annotation.image_hw
    y0, x0, y1, x1 = draft.crop_box
    crop = slice(y0, y1), slice(x0, x1)
    numbers = agree([annotation], hw).numbers
    inside = numbers[crop] > 0
    outside = set(np.unique(numbers)) - set(np.unique(numbers[crop])) - {0}
    drawn = _paint(draft, hw)[crop]
    counts = np.zeros((1, *drawn.shape), np.float32)
    spacing = np.array([draft.spacing_mm or (np.nan, np.nan)])
    lesions, regions = measure_lesions(drawn[None], inside[None], counts, spacing)
    cases = SegmentationCases(
        example_ids=[f"{annotation.reader}/{annotation.image_name}"],
        patients=[draft.patient_key],
        views=[annotation.image_name.rpartition("_")[2]],
        pixels=count_pixels(drawn[None] > 0, inside[None]),
        lesions=lesions,
        regions=regions,
        burden=measure_burden(drawn[None] > 0, inside[None], counts, spacing),
    )
    counted = count_changes(drawn > 0, inside)
    return Corrections(
        cases=cases,
        changes=Changes(*(np.array([n]) for n in (*counted, len(outside)))),
        readers=[annotation.reader],
        models=[draft.model],
        checked=np.array([draft.is_checked]),
        synthetic=np.array([draft.synthetic]),
    )


def count_changes(
    drawn: np.ndarray, corrected: np.ndarray
) -> tuple[int, int, int, int]:
    """Returns how many regions are unchanged, moved, removed and added.

    Args:
        drawn: the draft's pixels, bool, (H, W).
        corrected: the reader's, likewise.
    """
    regions, n_regions = number_regions(drawn)
    lesions, n_lesions = number_regions(corrected)
    met, met_lesions = find_meetings(regions[None], lesions)
    same = sum(
        bool(((regions == region) == (lesions == lesion)).all())
        for region, lesion in zip(met, met_lesions, strict=True)
    )
    n_met = len(np.unique(met))
    return (
        same,
        n_met - same,
        n_regions - n_met,
        n_lesions - len(np.unique(met_lesions)),
    )


def join_corrections(parts: Sequence[Corrections]) -> Corrections:
    """Returns the files of all parts, one after another."""
    cases = join_segmentation_cases([part.cases for part in parts])
    return dataclasses.replace(join_cases(parts), cases=cases)


def summarise_round(files: Corrections) -> dict[str, Any]:
    """Returns what a round of drafts says, for JSON.

    Intervals are 95 %, by a bootstrap over patients. NaN stands for an undefined score.
    """
    scores = summarise_segmentation(files.cases)
    changes = {name: getattr(files.changes, name).astype(np.float64) for name in KINDS}
    made = sum(changes[name] for name in _MADE)
    per_file = {
        "corrections": made,
        **{name: changes[name] for name in KINDS},
        "left_as_drawn": (made == 0).astype(np.float64),
    }
    intervals = describe_intervals(
        bootstrap_sums(
            files.cases.patients,
            lambda drawn: {
                f"per_file.{name}": drawn @ values / drawn.sum(axis=1)
                for name, values in per_file.items()
            },
        )
    )
    others = scores["intervals"]
    kept = {
        path: bounds
        for path, bounds in others.items()
        if path.startswith(("pixel.pooled.", "lesion."))
        and path.split(".")[1] not in _LEFT_OUT
    }
    undefined = intervals["undefined"] | {
        path: n for path, n in others["undefined"].items() if path in kept
    }
    return {
        "n_files": len(files),
        "n_patients": len(set(files.cases.patients)),
        "readers": dict(Counter(files.readers)),
        "models": dict(Counter(files.models)),
        "n_checked": int(files.checked.sum()),
        "synthetic": bool(files.synthetic.any()),
        "regions": {name: int(values.sum()) for name, values in changes.items()},
        "lesions_outside_of_crop": int(files.changes.outside.sum()),
        "per_file": {name: float(np.mean(each)) for name, each in per_file.items()},
        "pixel": {"pooled": scores["pixel"]["pooled"]},
        "lesion": {
            name: each
            for name, each in scores["lesion"].items()
            if name not in _LEFT_OUT
        },
        "intervals": intervals | kept | {"undefined": undefined},
    }


def _paint(draft: Draft, hw: tuple[int, int]) -> np.ndarray:
    """Returns the probability of each pixel of what was drawn, 0 elsewhere, (H, W)."""
    painted = np.zeros(hw, np.float32)
    threshold = _compute_log_odds(draft.score_above)
    for outline in draft.outlines:
        log_odds = _compute_log_odds(outline.score) - threshold
        prob = 1 / (1 + np.exp(-max(log_odds, _LEAST_LOG_ODDS)))
        mask = Region(outline.category, outline.polygon_xy, None).fill(hw)
        painted[mask] = np.maximum(painted[mask], prob)
    return painted


def _compute_log_odds(score: float) -> float:
    with np.errstate(divide="ignore"):
        log_odds = np.log(np.float64(score)) - np.log1p(-np.float64(score))
    return float(np.clip(log_odds, -_MOST_LOG_ODDS, _MOST_LOG_ODDS))
