"""One simulated patient: drawn, scanned from both sides, with the truth.

Letters: H rows and W columns of the frame, T metastases, B bones.
"""

from dataclasses import dataclass

import numpy as np

from spectjax.imaging.phantom.body import draw_tracer
from spectjax.imaging.phantom.camera import (
    Body,
    Camera,
    Sources,
    project,
    project_spot,
)
from spectjax.imaging.phantom.lesions import (
    METASTASIS,
    Spot,
    draw_metastases,
    draw_mimics,
    draw_organs,
)
from spectjax.imaging.phantom.posture import Posture, draw_posture
from spectjax.imaging.phantom.skeleton import SEGMENTS, Skeleton, build_skeleton
from spectjax.imaging.phantom.truth import Truth, find_truth
from spectjax.imaging.scan import View

VIEWS: tuple[View, View] = ("anterior", "posterior")
FRAME_HW = (1024, 256)


@dataclass(frozen=True)
class SpotImage:
    """The expected counts of one spot alone, on a patch of the frame.

    Attributes:
        kind: "metastasis", or what the spot is instead.
        site: bone or organ.
        corner: row and column of the patch's first pixel in the frame.
        counts: expected counts, float32, (h, w).
    """

    kind: str
    site: str
    corner: tuple[int, int]
    counts: np.ndarray


@dataclass(frozen=True)
class SimulatedView:
    """One view of a patient, with the truth.

    Attributes:
        view: "anterior" or "posterior".
        counts: the noisy image, uint16, (H, W).
        expectation: mean of each pixel of it, float32, (H, W).
        spots: each hot spot alone, without noise.
        lesion_sites: bone of each metastasis, in the order of `lesion_masks`.
        bone_names: name of each bone, in the order of `bone_masks`.
        lesion_masks: where bone has at least half of a lesion's contrast, as
            projected, bool, (T, H, W).
        bone_masks: where each bone is, as projected, bool, (B, H, W).
        thorax_box: (y0, x0, y1, x1), pixels, half-open: from the top of the shoulders
            to the lowest point of the ribs, between the outer edges of the rib cage.
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
    """A patient with both views.

    Attributes:
        age: years.
        sex: "F" or "M".
        spacing_mm: size of the square pixels.
        minutes: duration of the scan.
        posture: size and position.
        views: the view from the front and the one from behind, by name.
    """

    age: int
    sex: str
    spacing_mm: float
    minutes: float
    posture: Posture
    views: dict[View, SimulatedView]


def simulate_patient(
    seed: np.random.SeedSequence | int, *, metastases: int | None = None
) -> SimulatedPatient:
    """Returns the patient that belongs to a seed.

    Args:
        seed: the patient is a function of it.
        metastases: their number; drawn from 1 to 12 by default, 0 for a normal scan.
    """
    if not isinstance(seed, np.random.SeedSequence):
        seed = np.random.SeedSequence(seed)
    # A stream for each purpose: a change to one part leaves the others as they were.
    shape_rng, uptake_rng, lesion_rng, noise_rng = map(
        np.random.default_rng, seed.spawn(4)
    )
    age = int(np.clip(shape_rng.normal(63, 12), 25, 90))
    sex = str(shape_rng.choice(["F", "M"]))
    spacing_mm = float(shape_rng.choice([2.26, 2.3, 2.33, 2.4]))
    posture = draw_posture(shape_rng, FRAME_HW, spacing_mm)
    camera = _draw_camera(shape_rng, posture, spacing_mm)

    skeleton = build_skeleton()
    weight = skeleton.weight * _draw_uptake(uptake_rng, skeleton)
    if metastases is None:
        metastases = 1 + int(12 * lesion_rng.random() ** 0.7)
    spots = [
        *draw_metastases(lesion_rng, skeleton, weight, metastases),
        *draw_mimics(lesion_rng, skeleton, weight, age),
        *draw_organs(lesion_rng),
    ]
    # Old bone takes up less, so the soft tissue stands out more.
    level = uptake_rng.lognormal(0, 0.2) * (1 + 0.005 * (age - 63))
    y_mm = posture.find_reference_y(FRAME_HW[0], spacing_mm)
    body = Body(
        *posture.draw_outline(FRAME_HW, spacing_mm),
        draw_tracer(uptake_rng, y_mm, FRAME_HW[1], level),
    )

    def place(xyz_mm: np.ndarray, segment: np.ndarray, weight: np.ndarray) -> Sources:
        placed = posture.place(xyz_mm, segment)
        return Sources(*posture.to_pixels(placed, spacing_mm), placed[:, 2], weight)

    bones = place(skeleton.xyz_mm, skeleton.segment, weight)
    hot = [place(spot.xyz_mm, spot.segment, spot.weight) for spot in spots]
    truth = _find_truth(skeleton, bones, spots, hot)
    every = Sources(*map(np.concatenate, zip(bones, *hot, strict=True)))
    images = {view: project(every, body, camera, view) for view in VIEWS}

    # One scan, one duration: both views share the factor from tracer to counts.
    total = _draw_counts(noise_rng)
    factor = np.float32(total / np.mean([image.sum() for image in images.values()]))
    background = np.float32(noise_rng.uniform(0.04, 0.12))
    views = {}
    for view, image in images.items():
        expectation = image * factor
        expectation[camera.find_field(view)] += background
        spot_images = []
        for spot, sources in zip(spots, hot, strict=True):
            corner, patch = project_spot(sources, body, camera, view)
            spot_images.append(SpotImage(spot.kind, spot.site, corner, patch * factor))
        side = truth if view == "anterior" else truth.mirror()
        views[view] = SimulatedView(
            view=view,
            counts=noise_rng.poisson(expectation).astype(np.uint16),
            expectation=expectation,
            spots=tuple(spot_images),
            lesion_sites=tuple(s.site for s in spots if s.kind == METASTASIS),
            bone_names=skeleton.names,
            **side._asdict(),
        )
    # A scan with more counts took longer and had more activity, half of each.
    minutes = float(20 * np.sqrt(total / 1e6))
    return SimulatedPatient(age, sex, spacing_mm, minutes, posture, views)


def _find_truth(
    skeleton: Skeleton, bones: Sources, spots: list[Spot], hot: list[Sources]
) -> Truth:
    lesions = [
        Sources(*(axis[spot.core] for axis in sources))
        for spot, sources in zip(spots, hot, strict=True)
        if spot.kind == METASTASIS
    ]
    return find_truth(skeleton, bones, lesions, FRAME_HW)


def _draw_camera(
    rng: np.random.Generator, posture: Posture, spacing_mm: float
) -> Camera:
    height, width = FRAME_HW
    toes = posture.place(np.array([[0.0, 1745.0, 0.0]]), np.array([1]))
    last, _ = posture.to_pixels(toes, spacing_mm)
    y0 = max(0, int(posture.top_px - rng.uniform(8, 50)))
    y1 = min(height, int(last[0] + rng.uniform(15, 70)))
    x0, x1 = rng.integers(8, 15), width - rng.integers(8, 15)
    return Camera(
        frame_hw=FRAME_HW,
        spacing_mm=spacing_mm,
        field=(y0, int(x0), y1, int(x1)),
        gap_mm=rng.uniform(25, 65),
        table=rng.uniform(0.88, 0.95),
        scatter=rng.uniform(0.30, 0.40),
    )


def _draw_uptake(rng: np.random.Generator, skeleton: Skeleton) -> np.ndarray:
    """Returns the factor of each point: bones and parts of the body differ."""
    bones = rng.lognormal(0, 0.08, len(skeleton.names))
    segments = rng.lognormal(0, 0.12, len(SEGMENTS))
    uptake = bones[skeleton.bone] * segments[skeleton.segment]
    if rng.random() < 0.1:
        # A hip or a knee of metal is a cold gap.
        x, y = skeleton.xyz_mm[:, 0], skeleton.xyz_mm[:, 1]
        metal = (770, 900) if rng.random() < 0.5 else (1150, 1235)
        side = rng.choice([-1, 1])
        lower = skeleton.segment >= SEGMENTS.index("leg")
        uptake[lower & (x * side > 0) & (y > metal[0]) & (y < metal[1])] *= 0.1
    return uptake


def _draw_counts(rng: np.random.Generator) -> float:
    """Returns the counts of a view: mostly 0.36 to 1.0 million, some slow scans."""
    low, high = (0.36e6, 1.0e6) if rng.random() < 0.88 else (1.0e6, 3.6e6)
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
