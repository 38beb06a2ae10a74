"""Patients of a wanted diagnosis: drawn until three readers agree that they show it.

What an image shows follows from what is seen in its thorax, not from what a patient
has, so cases are found by trial. Only people who lie straight are scanned.

Where the whole frame counts, patients with metastases are taken as drawn: to ask that
readers see them would leave out small and faint ones, and what is left would have more
of the skeleton in metastases than was drawn. Only of the normal is it asked that
readers outline nothing, anywhere in the frame.
"""

from collections.abc import Sequence, Set
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spectjax.imaging.annotations.consensus import agree, crop_hotspots, diagnose
from spectjax.imaging.annotations.labelme import Annotation
from spectjax.imaging.annotations.regions import Region
from spectjax.imaging.diagnosis import METASTASIS, NORMAL
from spectjax.imaging.scan import View
from spectjax.imaging.thorax import Box, CropTransform
from spectjax.imaging.thorax.crop import CANVAS_HW
from spectjax.phantom.again import scan_again
from spectjax.phantom.devices import USUAL, Device
from spectjax.phantom.frames import Frame
from spectjax.phantom.lesions import Focus
from spectjax.phantom.patient import (
    Examination,
    SimulatedPatient,
    draw_foci,
    place_foci,
    take_images,
)
from spectjax.phantom.readers import METASTASES, READERS, Reading, read_view
from spectjax.phantom.subject import (
    VIEWS,
    Exposure,
    PlacedSpot,
    Subject,
    derive_rng,
    derive_seed,
    draw_person,
    draw_subject,
    expose,
)
from spectjax.phantom.truth import find_thorax_box, mirror_box

# A crop reaches 6 px beyond the rib cage and errs by some pixels: the diagnosis must be
# the same for boxes that are wider than the true one by either of these.
_MARGINS_PX = (2, 14)
# In some bodies a disease can hardly be seen: then another one is drawn.
_TRIALS_PER_BODY = 6
_DISEASE, _READING, _READING_AGAIN = 20, 21, 22


class Case(NamedTuple):
    """A patient, what readers outline in each view, and the `DIAGNOSES` that they show.

    It took some `trials`, one for each disease that was drawn.
    """

    examination: Examination
    readings: dict[View, Reading]
    diagnoses: dict[View, str]
    trials: int

    @property
    def patient(self) -> SimulatedPatient:
        """What the scan shows."""
        return self.examination.patient


def find_case(
    seed: np.random.SeedSequence,
    diagnosis: str,
    views: Sequence[View],
    wanted: Set[str] = METASTASES,
    frame: Frame | None = None,
    device: Device = USUAL,
    *,
    whole: bool = False,
    burden: float | None = None,
) -> Case:
    """Returns the first patient of a seed whose views all show the diagnosis.

    The diagnosis "metastasis" takes any image with at least one hotspot that the
    readers agree upon; views that are not kept are not simulated. The readers outline
    spots of the wanted kinds. The frame is that of `draw_person`.

    If the whole frame counts, only a normal patient has to show it, and the diagnoses
    are what the frames show. A burden is that of `draw_foci`.

    Whatever the device, the patient is the one whom the usual one finds: the diagnoses
    are what that shows, and the readings and the images are the device's.
    """
    bodies = trials = 0
    while True:
        body_seed = derive_seed(seed, bodies)
        bodies += 1
        if not draw_person(body_seed, frame).posture.lies_straight:
            continue
        subject = draw_subject(body_seed, views, frame)
        for attempt in range(_TRIALS_PER_BODY):
            trials += 1
            disease = (body_seed, attempt, diagnosis, burden)
            foci = _draw_foci(subject, *disease)
            lesions = place_foci(subject, foci)
            look = (body_seed, attempt, wanted, whole)
            exposures, readings, diagnoses = {}, {}, {}
            for view in views:
                exposures[view], readings[view] = _look(subject, lesions, view, *look)
                found = diagnose_view(readings[view], subject, view, whole)
                if found is None or not _is_wanted(found, diagnosis, whole):
                    break
                diagnoses[view] = found
            if len(diagnoses) < len(views):
                continue
            if device != USUAL:
                frame = device.frame or frame
                subject = draw_subject(body_seed, views, frame, device)
                foci = _draw_foci(subject, *disease)
                lesions = place_foci(subject, foci)
                for view in views:
                    exposures[view], readings[view] = _look(
                        subject, lesions, view, *look
                    )
            patient = take_images(body_seed, subject, lesions, exposures)
            examination = Examination(patient, body_seed, subject, tuple(foci), device)
            return Case(examination, readings, diagnoses, trials)


def scan_case_again(
    case: Case, number: int, wanted: Set[str] = METASTASES, *, whole: bool = False
) -> Case:
    """Returns the same patient in another study, see `scan_again`; nobody was treated.

    The patient lies down anew and the readers read anew. The diagnoses remain those of
    the first study.
    """
    again = scan_again(case.examination, number, lie_down=True)
    readings = {}
    for view, shown in again.patient.views.items():
        exposure = Exposure(view, shown.expectation, shown.spots)
        rng = derive_rng(again.seed, _READING_AGAIN, number, VIEWS.index(view))
        readings[view] = read_view(rng, exposure, wanted, parts=whole)
    return case._replace(examination=again, readings=readings)


def _draw_foci(
    subject: Subject,
    seed: np.random.SeedSequence,
    attempt: int,
    diagnosis: str,
    burden: float | None,
) -> list[Focus]:
    """Draws the disease of an attempt: the same one in every frame."""
    rng = derive_rng(seed, _DISEASE, attempt)
    return draw_foci(rng, subject, diagnosis, burden)


def _look(
    subject: Subject,
    lesions: Sequence[PlacedSpot],
    view: View,
    seed: np.random.SeedSequence,
    attempt: int,
    wanted: Set[str],
    parts: bool,
) -> tuple[Exposure, Reading]:
    """Returns what a view shows and what readers outline in it."""
    exposure = expose(subject, lesions, view)
    rng = derive_rng(seed, _READING, attempt, VIEWS.index(view))
    return exposure, read_view(rng, exposure, wanted, parts=parts)


def annotate(
    reading: Reading, view: View, frame_hw: tuple[int, int]
) -> list[Annotation]:
    """Returns what readers outline in a view as the annotation of each of them."""
    return [
        Annotation(
            path=Path(reader),
            reader=reader,
            image_name=view,
            image_hw=frame_hw,
            regions=tuple(Region(o.word, o.polygon_xy, None) for o in outlines),
        )
        for reader, outlines in zip(READERS, reading, strict=True)
    ]


def diagnose_view(
    reading: Reading, subject: Subject, view: View, whole: bool = False
) -> str | None:
    """Returns the diagnosis of a thorax, None if it depends on the margin of the crop.

    Of the whole frame, if that counts. "metastasis" if the readers agree that there is
    one but on no pixel of it.
    """
    frame_hw = subject.camera.frame_hw
    annotations = annotate(reading, view, frame_hw)
    hotspots = agree(annotations, frame_hw)
    box = find_thorax_box(subject.bones)
    if view == "posterior":
        box = mirror_box(box, frame_hw[1])
    boxes = [_widen(box, margin, frame_hw) for margin in _MARGINS_PX]
    found = set()
    for seen in [(0, 0, *frame_hw)] if whole else boxes:
        canvas_hw = frame_hw if whole else CANVAS_HW
        transform = CropTransform(seen, frame_hw, canvas_hw)
        inside = crop_hotspots(hotspots, transform)
        found.add(diagnose(annotations, inside, transform))
    return found.pop() if len(found) == 1 else None


def _is_wanted(found: str, diagnosis: str, whole: bool) -> bool:
    if whole:
        return diagnosis != NORMAL or found == NORMAL
    if diagnosis == METASTASIS:
        return found not in (NORMAL, METASTASIS)
    return found == diagnosis


def _widen(box: Box, margin: int, frame_hw: tuple[int, int]) -> Box:
    y0, x0, y1, x1 = box
    height, width = frame_hw
    return (
        max(0, y0 - margin),
        max(0, x0 - margin),
        min(height, y1 + margin),
        min(width, x1 + margin),
    )
