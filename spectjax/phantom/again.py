"""A patient who is scanned again: the same body and bones, and what the caller changes.

Each scan has noise of its own. The patient may lie otherwise, the bed may be slower,
the frame another one and the disease may have changed, each alone or together; what
none of this touches is not computed anew. Bladder, kidneys and joints stay as they are.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from spectjax.phantom.frames import Frame
from spectjax.phantom.lesions import Focus
from spectjax.phantom.patient import (
    Examination,
    SimulatedPatient,
    count_view,
    take_scan,
)
from spectjax.phantom.stature import lie_down_again
from spectjax.phantom.subject import (
    Person,
    SpotImage,
    Subject,
    derive_rng,
    derive_seed,
    draw_subject_of,
)
from spectjax.phantom.tracer import Exam

_AGAIN, _POSTURE = 40, 41  # streams of a body's seed


def scan_again(
    examination: Examination,
    number: int,
    *,
    counts: float = 1.0,
    frame: Frame | None = None,
    lie_down: bool = False,
    foci: Sequence[Focus] | None = None,
) -> Examination:
    """Returns another scan of the same patient.

    To follow one up, hand over other foci: without one that is gone, with one that
    grew (`Focus.grow`), with a new one (`lesions.draw_anywhere`).

    Args:
        examination: the scan to start from.
        number: of the scan, from 1: each has noise and a posture of its own. The same
            number of the same patient has the same.
        counts: in those of the scan to start from; 0.5 is a bed twice as fast.
        frame: another matrix and size of a pixel; the patient lies where they lay.
        lie_down: whether the patient lies down anew, see `stature.lie_down_again`.
        foci: other metastases.
    """
    seed = derive_seed(examination.seed, _AGAIN, number)
    disease = examination.foci if foci is None else tuple(foci)
    total = counts * examination.counts
    moved = frame is not None or lie_down
    if moved:
        person = _move(examination, number if lie_down else None, frame)
        views = tuple(examination.patient.views)
        subject = draw_subject_of(examination.seed, person, views, examination.device)
        subject = _slow_down(subject, total)
    else:
        subject = _slow_down(examination.subject, counts)
    if moved or foci is not None:
        patient = take_scan(seed, subject, disease)
    else:
        patient = _count_again(seed, examination.patient, counts)
    return replace(
        examination, patient=patient, subject=subject, foci=disease, counts=total
    )


def _move(examination: Examination, number: int | None, frame: Frame | None) -> Person:
    """Returns the person on another frame, and lying as in the scan of a number."""
    person = examination.subject.person
    if frame:
        person = _reframe(person, frame)
    if number is None:
        return person
    rng = derive_rng(examination.seed, _POSTURE, number)
    posture = lie_down_again(rng, person.posture, person.frame_hw, person.spacing_mm)
    return person._replace(posture=posture)


def _reframe(person: Person, frame: Frame) -> Person:
    """Returns a person who lies at the same place of another frame, in mm."""
    zoom = person.spacing_mm / frame.spacing_mm
    beside = person.posture.centre_px - person.frame_hw[1] / 2
    posture = replace(
        person.posture,
        top_px=person.posture.top_px * zoom,
        centre_px=frame.hw[1] / 2 + beside * zoom,
    )
    return Person(person.age, person.sex, *frame, posture)


def _slow_down(subject: Subject, counts: float) -> Subject:
    """Returns a subject on a bed so much slower that there are `counts` as many."""
    exposures = {
        view: exposure._replace(
            expectation=exposure.expectation * np.float32(counts),
            spots=_multiply(exposure.spots, counts),
        )
        for view, exposure in subject.exposures.items()
    }
    return replace(
        subject,
        exam=_lengthen(subject.exam, counts),
        background=subject.background * counts,
        counts_per_unit=subject.counts_per_unit * counts,
        exposures=exposures,
    )


def _count_again(
    seed: np.random.SeedSequence, patient: SimulatedPatient, counts: float
) -> SimulatedPatient:
    """Returns a patient with other noise, on a bed as of `_slow_down`."""
    views = {}
    for view, shown in patient.views.items():
        expectation = shown.expectation * np.float32(counts)
        views[view] = replace(
            shown,
            counts=count_view(seed, view, expectation),
            expectation=expectation,
            spots=_multiply(shown.spots, counts),
        )
    return replace(patient, views=views, exam=_lengthen(patient.exam, counts))


def _lengthen(exam: Exam, counts: float) -> Exam:
    return replace(exam, speed_mm_s=exam.speed_mm_s / counts)


def _multiply(spots: Sequence[SpotImage], counts: float) -> tuple[SpotImage, ...]:
    return tuple(replace(s, counts=s.counts * np.float32(counts)) for s in spots)
