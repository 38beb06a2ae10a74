"""One simulated patient: scanned from both sides, with noise and the truth.

Letters: H rows and W columns of the frame, T metastases, B bones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spectjax.imaging.diagnosis import METASTASIS
from spectjax.imaging.scan import BoneScan, View
from spectjax.phantom.burden import Burden, draw_burden, measure_burden
from spectjax.phantom.camera import Sources
from spectjax.phantom.detector import count_photons
from spectjax.phantom.devices import USUAL, Device
from spectjax.phantom.frames import Frame
from spectjax.phantom.lesions import Focus, draw_metastases
from spectjax.phantom.posture import Posture
from spectjax.phantom.skeleton import build_skeleton
from spectjax.phantom.subject import (
    VIEWS,
    Exposure,
    PlacedSpot,
    SpotImage,
    Subject,
    derive_rng,
    draw_subject,
    expose,
)
from spectjax.phantom.tracer import Exam
from spectjax.phantom.truth import find_truth

_DISEASE, _NOISE = 10, 11  # streams of a patient's seed, beside those of the subject


@dataclass(frozen=True)
class SimulatedView:
    """One view of a patient, with the truth.

    Attributes:
        counts: the noisy image, uint16, (H, W).
        expectation: mean of each pixel of it, float32, (H, W).
        spots: each hot spot alone, without noise; the metastases come last.
        lesion_sites: bone of each metastasis, in the order of `lesion_masks`.
        bone_names: name of each bone, in the order of `bone_masks`.
        lesion_masks, bone_masks, thorax_box: as of `Truth`.
    """

    view: View
    counts: np.ndarray
    expectation: np.ndarray
    spots: tuple[SpotImage, ...]
    lesion_sites: tuple[str, ...]
    bone_names: tuple[str, ...]
    lesion_masks: np.ndarray
    bone_masks: np.ndarray
    thorax_box: tuple[int, int, int, int]


@dataclass(frozen=True)
class SimulatedPatient:
    """A patient, age in years and sex "F" or "M", with the simulated views by name.

    The burden is the true one, by volume; its metastases have the views' order.
    """

    age: int
    sex: str
    frame_hw: tuple[int, int]
    size_m: float
    weight_kg: float
    spacing_mm: float
    exam: Exam
    posture: Posture
    burden: Burden
    views: dict[View, SimulatedView]

    def show(self, name: str = "simulated.dcm") -> dict[View, BoneScan]:
        """Returns the views as if they had been read from a file of this name."""
        return {
            view: BoneScan(
                counts=seen.counts.astype(np.float32),
                view=view,
                view_evidence="simulated",
                spacing_mm=(self.spacing_mm, self.spacing_mm),
                path=Path(name),
                frame=0,
                patient_key=name,
                patient_evidence="Patient ID",
                image_key=f"{name} {view}",
                synthetic=True,
            )
            for view, seen in self.views.items()
        }


@dataclass(frozen=True)
class Examination:
    """A scan of a patient, and what another one of the same patient needs.

    Attributes:
        patient: what the scan shows.
        seed: of the body.
        subject: the body as it lay, without metastases.
        foci: the metastases, in the order of the patient's.
        device: of the scan.
        counts: in those of the patient's first scan.
    """

    patient: SimulatedPatient
    seed: np.random.SeedSequence
    subject: Subject
    foci: tuple[Focus, ...]
    device: Device = USUAL
    counts: float = 1.0


def simulate_patient(
    seed: np.random.SeedSequence | int,
    *,
    diagnosis: str = METASTASIS,
    frame: Frame | None = None,
) -> SimulatedPatient:
    """Returns the patient that belongs to a seed, from both sides, see `examine`."""
    return examine(seed, diagnosis=diagnosis, frame=frame).patient


def examine(
    seed: np.random.SeedSequence | int,
    *,
    diagnosis: str = METASTASIS,
    burden: float | None = None,
    frame: Frame | None = None,
) -> Examination:
    """Returns the first scan of the patient that belongs to a seed, from both sides.

    The diagnosis, one of `spectjax.imaging.diagnosis.DIAGNOSES`, says which metastases
    are drawn; whether readers see them is another matter. "metastasis" stands for 1 to
    12 anywhere, one of them in the thorax, or with a burden, percent of the skeleton's
    mass, for as many as it takes. Without a frame the scan has 1024 rows, 256 columns
    and pixels of 2.26 to 2.4 mm.
    """
    if not isinstance(seed, np.random.SeedSequence):
        seed = np.random.SeedSequence(seed)
    subject = draw_subject(seed, frame=frame)
    foci = draw_foci(derive_rng(seed, _DISEASE), subject, diagnosis, burden)
    return Examination(take_scan(seed, subject, foci), seed, subject, tuple(foci))


def draw_foci(
    rng: np.random.Generator,
    subject: Subject,
    diagnosis: str,
    burden: float | None = None,
) -> list[Focus]:
    """Draws the metastases of a subject, none for "normal".

    With a burden, percent of the skeleton's mass, there are as many as it takes.
    """
    if burden is None:
        return draw_metastases(rng, subject.skeleton, diagnosis)
    return draw_burden(rng, subject.skeleton, burden)


def place_foci(subject: Subject, foci: Sequence[Focus]) -> list[PlacedSpot]:
    """Returns metastases as they light up the subject's skeleton."""
    skeleton = subject.skeleton
    return [subject.place(focus.light_up(skeleton)) for focus in foci]


def take_scan(
    seed: np.random.SeedSequence, subject: Subject, foci: Sequence[Focus]
) -> SimulatedPatient:
    """Returns a subject with metastases as `take_images` does, from all its sides."""
    lesions = place_foci(subject, foci)
    exposures = {view: expose(subject, lesions, view) for view in subject.exposures}
    return take_images(seed, subject, lesions, exposures)


def take_images(
    seed: np.random.SeedSequence,
    subject: Subject,
    lesions: Sequence[PlacedSpot],
    exposures: dict[View, Exposure],
) -> SimulatedPatient:
    """Returns the patient with noise and truth.

    The seed is that of the noise, and the noise of a view does not depend on the other.
    """
    skeleton = build_skeleton()
    cores = [
        Sources(*(axis[lesion.spot.core] for axis in lesion.sources))
        for lesion in lesions
    ]
    truth = find_truth(subject.bones, cores, subject.camera.frame_hw)
    views = {}
    for view, exposure in exposures.items():
        side = truth if view == "anterior" else truth.mirror()
        views[view] = SimulatedView(
            view=view,
            counts=count_view(seed, view, exposure.expectation),
            expectation=exposure.expectation,
            spots=exposure.spots,
            lesion_sites=tuple(lesion.spot.site for lesion in lesions),
            bone_names=skeleton.names,
            **side._asdict(),
        )
    return SimulatedPatient(
        **subject.person._asdict(),
        size_m=subject.person.posture.height_mm / 1000,
        weight_kg=subject.weight_kg,
        exam=subject.exam,
        burden=measure_burden([lesion.spot for lesion in lesions]),
        views=views,
    )


def count_view(
    seed: np.random.SeedSequence, view: View, expectation: np.ndarray
) -> np.ndarray:
    """Returns the counts of a view, see `count_photons`; the seed is the noise's."""
    return count_photons(derive_rng(seed, _NOISE, VIEWS.index(view)), expectation)
