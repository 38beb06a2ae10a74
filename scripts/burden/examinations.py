"""Simulated patients, scanned and scanned again: images and the truth, in memory.

H and W are rows and columns of a view.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from scripts.burden.losses import Lesion
from spectjax.bones.regions import THORAX, draw_regions
from spectjax.bones.repeatability import Extent
from spectjax.imaging.annotations.consensus import agree
from spectjax.imaging.diagnosis import METASTASIS, NORMAL
from spectjax.imaging.scan import BoneScan, View
from spectjax.phantom.cases import annotate, find_case
from spectjax.phantom.detector import count_photons
from spectjax.phantom.patient import SimulatedPatient, SimulatedView
from spectjax.phantom.slots import draw_slots, seed_patient
from spectjax.phantom.subject import VIEWS, derive_rng

# Counts of the view that has fewer. Those of Anand et al. (J Nucl Med 2016;57:1865),
# and as many as a slow scan of a lean patient has.
COUNTS = (200_000, 500_000, 1_500_000, 4_000_000)
FIRST, AGAIN = "first", "again"
_NOISE = 40  # a stream of a patient's seed, beside those of the phantom
# Which population a group of patients is of, and their diagnosis.
GROUPS = {"burden": ("burden", METASTASIS), "normal": ("whole_body", NORMAL)}


@dataclass(frozen=True)
class Examination:
    """A scan of a patient from both sides, with the truth.

    Attributes:
        name: what is particular about it.
        scans: as a file would give them.
        regions: of the skeleton, uint8, (H, W), of each view.
        lesions: the metastases of each view.
        volume: the true index by volume, of each extent.
        outlined: what the majority of the readers outlined, bool, (H, W), of each view;
            None if they were not asked.
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
) -> Iterator[Examination]:
    """Yields the scans of a patient: the first, and with `repeats` all others.

    Args:
        group: of `GROUPS`.
        number: of the patient in the population, from 1.
        seed: of the population.
        repeats: whether the patient is scanned again, see `COUNTS`.
    """
    population, diagnosis = GROUPS[group]
    own = seed_patient(population, seed, number)
    burden = None
    if group == "burden":
        burden = draw_slots(population, number, seed)[-1].burden
    case = find_case(own, diagnosis, VIEWS, whole=True, burden=burden)
    hw = case.patient.frame_hw
    outlined = {
        view: agree(annotate(reading, view, hw), hw).numbers > 0
        for view, reading in case.readings.items()
    }
    yield replace(look(case.patient, FIRST), outlined=outlined)
    if not repeats:
        return
    for place, counts in enumerate(COUNTS):
        rng = derive_rng(own, _NOISE, place)
        yield look(recount(case.patient, counts, rng), name_counts(counts, FIRST))


def name_counts(counts: int, which: str) -> str:
    """Returns the name of a scan of so many counts: "first" or "again"."""
    return f"{counts} {which}"


def recount(
    patient: SimulatedPatient, counts: int, rng: np.random.Generator
) -> SimulatedPatient:
    """Returns a patient scanned for as long as `counts` take, noise anew.

    So many are to be expected in the view that has fewer.
    """
    views = patient.views
    factor = counts / min(float(v.expectation.sum()) for v in views.values())
    return replace(
        patient,
        views={
            name: replace(
                view,
                counts=count_photons(rng, factor * view.expectation),
                expectation=factor * view.expectation,
                spots=tuple(
                    replace(spot, counts=factor * spot.counts) for spot in view.spots
                ),
            )
            for name, view in views.items()
        },
    )


def look(patient: SimulatedPatient, name: str) -> Examination:
    """Returns a simulated patient as a scan with its truth."""
    views = patient.views
    return Examination(
        name=name,
        scans={v: _make_scan(view, patient.spacing_mm) for v, view in views.items()},
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


def _make_scan(view: SimulatedView, spacing_mm: float) -> BoneScan:
    return BoneScan(
        counts=view.counts.astype(np.float32),
        view=view.view,
        view_evidence="phantom",
        spacing_mm=(spacing_mm, spacing_mm),
        path=Path("phantom"),
        frame=0,
        patient_key="0" * 16,
        patient_evidence="Patient ID",
        image_key="0" * 16,
        synthetic=True,
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
