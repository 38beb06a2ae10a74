"""A patient before the disease: body, normal bone, benign spots, and the scan.

Letters: H rows and W columns of the frame, N points of the skeleton.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from spectjax.imaging.scan import View
from spectjax.phantom.body import draw_tracer
from spectjax.phantom.camera import Body, Camera, Sources, project, project_spot
from spectjax.phantom.covers import Cover, draw_cover_map, draw_covers
from spectjax.phantom.detector import detect
from spectjax.phantom.devices import USUAL, Device
from spectjax.phantom.frames import USUAL_PIXEL_MM, Frame, draw_usual_frame
from spectjax.phantom.lesions import Spot
from spectjax.phantom.mimics import draw_mimics
from spectjax.phantom.organs import draw_organs
from spectjax.phantom.pools import draw_pools, fill_pools
from spectjax.phantom.posture import Posture
from spectjax.phantom.skeleton import Skeleton, build_skeleton, find_growth_plates
from spectjax.phantom.stature import draw_posture
from spectjax.phantom.tracer import (
    Exam,
    clear_soft_tissue,
    draw_exam,
    draw_hours,
    share_in_bone,
    share_in_soft_tissue,
)
from spectjax.phantom.uptake import draw_uptake

VIEWS: tuple[View, View] = ("anterior", "posterior")
_CHILDREN = 0.03  # of all patients
# Streams of randomness: a change to one part leaves the others as they were.
_PERSON, _COVERS, _UPTAKE, _BENIGN, _EXAM = range(5)


class PlacedSpot(NamedTuple):
    """A spot and its points in the frame of the anterior view."""

    spot: Spot
    sources: Sources


@dataclass(frozen=True)
class SpotImage:
    """The expected counts of one spot alone, on a patch of the frame.

    Attributes:
        kind, site: as of the `Spot`.
        corner: row and column of the patch's first pixel in the frame.
        counts: expected counts without scatter, float32, (h, w).
    """

    kind: str
    site: str
    corner: tuple[int, int]
    counts: np.ndarray

    @property
    def peak(self) -> tuple[int, int]:
        """Row and column of the hottest pixel in the frame."""
        row, column = np.unravel_index(self.counts.argmax(), self.counts.shape)
        return self.corner[0] + int(row), self.corner[1] + int(column)

    def cut(self, image: np.ndarray) -> np.ndarray:
        """Returns the part of an image (H, W) that lies under the patch."""
        (top, left), (height, width) = self.corner, self.counts.shape
        return image[top : top + height, left : left + width]


class Exposure(NamedTuple):
    """What a view would show without noise.

    Attributes:
        expectation: mean counts of each pixel, float32, (H, W).
        spots: each hot spot alone, the benign ones first.
    """

    view: View
    expectation: np.ndarray
    spots: tuple[SpotImage, ...]


class Person(NamedTuple):
    """Who is scanned, age in years and sex "F" or "M", on what frame, lying how."""

    age: int
    sex: str
    frame_hw: tuple[int, int]
    spacing_mm: float
    posture: Posture


@dataclass(frozen=True)
class Subject:
    """A patient without metastases.

    Attributes:
        background: counts of each pixel of the field that come from nowhere.
        bones: the points of the skeleton, with their normal tracer, (N,).
        counts_per_unit: expected counts of a unit of tracer before attenuation.
        exposures: what the normal patient shows, without scatter and background.
    """

    person: Person
    weight_kg: float
    camera: Camera
    exam: Exam
    background: float
    body: Body
    bones: Sources
    counts_per_unit: float
    exposures: dict[View, Exposure]

    @property
    def skeleton(self) -> Skeleton:
        """The reference skeleton with this patient's weights."""
        return build_skeleton()._replace(weight=self.bones.weight)

    def place(self, spot: Spot) -> PlacedSpot:
        """Returns a spot with its points in the frame."""
        return PlacedSpot(spot, _place(self.person, spot[2:5]))


def derive_seed(seed: np.random.SeedSequence, *key: int) -> np.random.SeedSequence:
    """Returns a child of a seed; the seed itself does not change."""
    return np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, *key))


def derive_rng(seed: np.random.SeedSequence, *key: int) -> np.random.Generator:
    """Returns the generator of one stream of a seed."""
    return np.random.default_rng(derive_seed(seed, *key))


def draw_person(seed: np.random.SeedSequence, frame: Frame | None = None) -> Person:
    """Draws who belongs to a seed: the same person as in `draw_subject`.

    Without a frame the scan has one of those that the papers' scans have.
    """
    rng = derive_rng(seed, _PERSON)
    age = int(np.clip(rng.normal(63, 12), 25, 90))
    if rng.random() < _CHILDREN:
        age = int(rng.integers(8, 18))
    sex = str(rng.choice(["F", "M"]))
    usual = draw_usual_frame(rng)
    frame = frame or usual
    return Person(age, sex, *frame, draw_posture(rng, *frame, sex, age))


def draw_subject(
    seed: np.random.SeedSequence,
    views: Sequence[View] = VIEWS,
    frame: Frame | None = None,
    device: Device = USUAL,
) -> Subject:
    """Draws a patient without metastases, on the frame of `draw_person`.

    A view does not depend on the others. Of the device everything but its frame counts.
    """
    return draw_subject_of(seed, draw_person(seed, frame), views, device)


def draw_subject_of(
    seed: np.random.SeedSequence,
    person: Person,
    views: Sequence[View] = VIEWS,
    device: Device = USUAL,
) -> Subject:
    """Draws all but the person of a seed, see `draw_subject`: who may lie otherwise."""
    uptake_rng, benign_rng = derive_rng(seed, _UPTAKE), derive_rng(seed, _BENIGN)
    exam_rng = derive_rng(seed, _EXAM)
    camera = _draw_camera(exam_rng, person, device)
    hours = draw_hours(exam_rng)
    covers = draw_covers(
        derive_rng(seed, _COVERS), person.sex if person.age > 12 else "M"
    )
    skeleton = build_skeleton()
    # Before the body: how many numbers that takes depends on the frame.
    uptake = draw_uptake(uptake_rng, skeleton, person.age)
    # Free pertechnetate, of a poor preparation, goes to thyroid and stomach.
    pertechnetate = bool(uptake_rng.random() < 0.04)
    body = _draw_body(uptake_rng, person, hours, covers, pertechnetate)
    volume_mm3 = (body.back_mm - body.front_mm) * person.spacing_mm**2
    weight_kg = float(volume_mm3.sum()) * 1e-6  # as if of water

    tracer = skeleton.weight * uptake
    tracer[find_growth_plates()] *= np.interp(person.age, [8, 14, 18], [6, 4, 1])
    skeleton = skeleton._replace(weight=tracer)
    bones = _place(person, (skeleton.xyz_mm, skeleton.segment, tracer))
    exam = device.use(draw_exam(exam_rng, hours, weight_kg))
    retained = share_in_bone(hours) + share_in_soft_tissue(hours)
    units = tracer.sum() + float((volume_mm3 * body.tracer).sum())
    counts_per_unit = exam.counts_per_share * retained / units

    benign = [
        PlacedSpot(spot, _place(person, spot[2:5]))
        for spot in (
            *draw_mimics(benign_rng, skeleton, person.age),
            *draw_organs(benign_rng, hours, pertechnetate),
        )
    ]
    every = Sources(
        *map(np.concatenate, zip(bones, *(s.sources for s in benign), strict=True))
    )
    exposures = {
        view: Exposure(
            view,
            project(every, body, camera, view) * np.float32(counts_per_unit),
            _expose_spots(benign, body, camera, view, counts_per_unit),
        )
        for view in views
    }
    return Subject(
        person=person,
        weight_kg=weight_kg,
        camera=camera,
        exam=exam,
        background=float(exam_rng.uniform(0.04, 0.12)),
        body=body,
        bones=bones,
        counts_per_unit=counts_per_unit,
        exposures=exposures,
    )


def expose(subject: Subject, lesions: Sequence[PlacedSpot], view: View) -> Exposure:
    """Returns what a view of a subject with metastases shows, before noise.

    The view is one of those that the subject was drawn with.
    """
    normal = subject.exposures[view]
    image = normal.expectation.copy()
    images = _expose_spots(
        lesions, subject.body, subject.camera, view, subject.counts_per_unit
    )
    for lesion in images:
        part = lesion.cut(image)
        part += lesion.counts
    expectation = detect(image, subject.body, subject.camera, view)
    expectation[subject.camera.find_field(view)] += np.float32(subject.background)
    return Exposure(view, expectation, (*normal.spots, *images))


def _expose_spots(
    spots: Sequence[PlacedSpot],
    body: Body,
    camera: Camera,
    view: View,
    counts_per_unit: float,
) -> tuple[SpotImage, ...]:
    """Returns the image of each spot that the detector sees."""
    field = np.zeros(camera.frame_hw, np.float32)
    field[camera.find_field(view)] = counts_per_unit
    images = []
    for spot, sources in spots:
        corner, patch = project_spot(sources, body, camera, view)
        (top, left), (height, width) = corner, patch.shape
        patch *= field[top : top + height, left : left + width]
        if patch.any():
            images.append(SpotImage(spot.kind, spot.site, corner, patch))
    return tuple(images)


def _place(
    person: Person, points: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> Sources:
    """Returns points (position, segment, weight) of the reference in the frame."""
    xyz_mm, segment, weight = points
    placed = person.posture.place(xyz_mm, segment)
    row, column = person.posture.to_pixels(placed, person.spacing_mm)
    return Sources(row, column, placed[:, 2], weight)


def _draw_camera(rng: np.random.Generator, person: Person, device: Device) -> Camera:
    _, _, (height, width), spacing_mm, posture = person
    usual = USUAL_PIXEL_MM / spacing_mm
    toes = posture.place(np.array([[0.0, 1745.0, 0.0]]), np.array([1]))
    last, _ = posture.to_pixels(toes, spacing_mm)
    y0 = max(0, int(posture.top_px - rng.uniform(8, 50) * usual))
    y1 = min(height, int(last[0] + rng.uniform(15, 70) * usual))
    # The detector is as wide as the usual frame: a wider one has empty sides.
    beside = max(0.0, (width - 256 * usual) / 2)
    left, right = (int(beside + side) for side in rng.integers(8, 15, 2) * usual)
    return Camera(
        frame_hw=person.frame_hw,
        spacing_mm=spacing_mm,
        field=(y0, left, y1, width - right),
        gap_mm=rng.uniform(25, 65),
        table=rng.uniform(0.88, 0.95),
        scatter=rng.uniform(0.30, 0.40),
        hole_diameter_mm=device.hole_diameter_mm,
    )


def _draw_body(
    rng: np.random.Generator,
    person: Person,
    hours: float,
    covers: list[Cover],
    pertechnetate: bool,
) -> Body:
    age, sex, frame_hw, spacing_mm, posture = person
    y_mm = posture.find_reference_y(frame_hw[0], spacing_mm)
    # Old bone takes up less, so the soft tissue stands out more.
    level = rng.lognormal(np.log(0.9), 0.36) * (1 + 0.005 * (age - 63))
    # What a heavy patient has more of is fat, which takes up less than half.
    level *= 0.4 + 0.6 / max(posture.girth, 1) ** 2
    pools = draw_pools(rng, sex, hours, pertechnetate)
    tracer = draw_tracer(rng, y_mm, frame_hw[1], level * clear_soft_tissue(hours))
    fill_pools(tracer, pools, posture, spacing_mm)
    return Body(
        *posture.draw_outline(frame_hw, spacing_mm),
        tracer,
        draw_cover_map(covers, posture, frame_hw, spacing_mm),
    )
