"""Simulated patients, scanned and scanned again: images and the truth, in memory.

H and W are rows and columns of a view.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from scripts.burden.losses import Lesion
from spectjax.bones.regions import THORAX, draw_regions
from spectjax.bones.repeatability import Extent
from spectjax.imaging.annotations.consensus import agree
from spectjax.imaging.diagnosis import METASTASIS, NORMAL
from spectjax.imaging.scan import BoneScan, View
from spectjax.phantom.again import scan_again
from spectjax.phantom.cases import annotate, find_case
from spectjax.phantom.frames import Frame
from spectjax.phantom.patient import Examination, SimulatedView
from spectjax.phantom.slots import draw_slots, seed_patient
from spectjax.phantom.subject import VIEWS

# Counts of the view that has fewer. Those of Anand et al. (J Nucl Med 2016;57:1865),
# and as many as a slow scan of a lean patient has.
COUNTS = (200_000, 500_000, 1_500_000, 4_000_000)
FIRST, AGAIN = "first", "again"
LYING_AGAIN, COARSE = "lying down again", "pixels of 4.7 mm"
_COARSE_FRAME = Frame((512, 128), 4.7)
BURDEN, REPEATED, NORMALS = "burden", "repeated", "normal"
# Which population a group of patients is of, and their diagnosis.
GROUPS = {
    BURDEN: ("burden", METASTASIS),
    REPEATED: ("burden", METASTASIS),
    NORMALS: ("whole_body", NORMAL),
}
# Burdens of those who are scanned again, in turn: as many of each level to tell of.
LEVELS = (0.3, 0.6, 1.0, 1.5, 2.5, 3.5, 5.0, 6.5, 9.0, 12.0)
_OTHERS = 10_000  # numbers of the population's patients, so far from the first ones


@dataclass(frozen=True)
class TrueScan:
    """A scan of a patient from both sides, with the truth.

    Attributes:
        name: what is particular about it.
        scans: as a file would give them.
        regions: of the skeleton, uint8, (H, W), of each view.
        lesions: the metastases of each view.
        volume: the true index by volume, of each extent.
        outlined: what the majority of three readers outlined, bool, (H, W), of each
            view; None if they were not asked.
    """

    name: str
    scans: Mapping[View, BoneScan]
    regions: Mapping[View, np.ndarray]
    lesions: Mapping[View, list[Lesion]]
    volume: Mapping[Extent, float]
    outlined: Mapping[View, np.ndarray] | None = None

    @property
    def hotspots(self) -> dict[View, np.ndarray]:
        """The pixels of the metastases, bool, (H, W), of each view."""
        return {
            view: np.any([lesion.mask for lesion in self.lesions[view]], axis=0)
            if self.lesions[view]
            else np.zeros(scan.counts.shape, bool)
            for view, scan in self.scans.items()
        }


def simulate(
    group: str, number: int, seed: int, *, repeats: bool
) -> Iterator[TrueScan]:
    """Yields the scans of a patient: the first, and with `repeats` all others.

    Args:
        group: of `GROUPS`.
        number: of the patient in the group, from 1.
        seed: of the population.
        repeats: whether the patient is scanned again: once more as before, twice as
            fast, lying otherwise, on coarse pixels, and for each of `COUNTS` as before
            and lying otherwise.
    """
    population, diagnosis = GROUPS[group]
    burden = None
    if group == BURDEN:
        burden = draw_slots(population, number, seed)[-1].burden
    elif group == REPEATED:
        burden = LEVELS[(number - 1) % len(LEVELS)]
    own = seed_patient(population, seed, number + _OTHERS * (group == REPEATED))
    case = find_case(own, diagnosis, VIEWS, whole=True, burden=burden)
    first, hw = case.examination, case.patient.frame_hw
    outlined = {
        view: agree(annotate(reading, view, hw), hw).numbers > 0
        for view, reading in case.readings.items()
    }
    yield replace(look(first, FIRST), outlined=outlined)
    if not repeats:
        return
    lain = scan_again(first, 3, lie_down=True)
    yield look(scan_again(first, 1), "new noise")
    yield look(scan_again(first, 2, counts=0.5), "half of the time")
    yield look(lain, LYING_AGAIN)
    yield look(scan_again(first, 4, frame=_COARSE_FRAME), COARSE)
    for place, counts in enumerate(COUNTS):
        for which, exam in enumerate((first, lain)):
            again = scan_again(
                exam, 10 + 2 * place + which, counts=counts / count_photons(exam)
            )
            yield look(again, name_counts(counts, (FIRST, AGAIN)[which]))


def name_counts(counts: int, which: str) -> str:
    """Returns the name of a scan of so many counts: "first" or "again"."""
    return f"{counts} {which}"


def count_photons(exam: Examination) -> float:
    """Returns the counts to be expected in the view that has fewer."""
    views = exam.patient.views.values()
    return min(float(view.expectation.sum()) for view in views)


def look(exam: Examination, name: str) -> TrueScan:
    """Returns a simulated examination as a scan with its truth."""
    patient = exam.patient
    views = patient.views
    return TrueScan(
        name=name,
        scans=patient.show(),
        regions={
            v: draw_regions(view.bone_masks, view.bone_names, v)
            for v, view in views.items()
        },
        lesions={v: _list_lesions(view) for v, view in views.items()},
        volume={
            "whole body": patient.burden.measure_index(),
            "thorax": patient.burden.measure_index(THORAX),
        },
    )


def _list_lesions(view: SimulatedView) -> list[Lesion]:
    normal = view.expectation.copy()
    for spot in view.spots:
        if spot.kind == METASTASIS:
            part = spot.cut(normal)
            part -= spot.counts
    return [
        Lesion(
            mask,
            site,
            float(view.expectation[mask].sum() / max(normal[mask].sum(), 1e-6)),
        )
        for mask, site in zip(view.lesion_masks, view.lesion_sites, strict=True)
        if mask.any()
    ]
