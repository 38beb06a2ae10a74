"""Who belongs to a population: diagnosis and views of each patient, and their files.

[P1] segments 112 images of 76 patients with bone metastases. [P2] classifies 346 images
of 251 patients: 220 normal, 111 with multiple bone metastases, 14 with spinal ones and
1 with one outside the spine. The papers do not say how many patients each class has;
that split is ours.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from spectjax.imaging.diagnosis import (
    METASTASIS,
    MULTIPLE,
    NORMAL,
    OUTSIDE_SPINE,
    SPINAL,
)
from spectjax.imaging.scan import View
from spectjax.phantom.burden import BURDENS
from spectjax.phantom.subject import VIEWS, derive_rng

_GOLDEN_RATIO = (5**0.5 - 1) / 2
Evidence = Literal["sct", "srt", "ge letter", "ge word"]


class Group(NamedTuple):
    """Patients of one diagnosis: how many, and how many of them from both sides.

    Those with a burden have metastases that hold a share of the skeleton which is drawn
    evenly over `burden.BURDENS`.
    """

    diagnosis: str
    patients: int
    both_views: int
    with_burden: bool = False


POPULATIONS: dict[str, tuple[Group, ...]] = {
    # "metastasis" is any that the readers agree upon in every image.
    "segmentation": (Group(METASTASIS, 76, 36),),
    "classification": (
        Group(NORMAL, 166, 54),
        Group(MULTIPLE, 74, 37),
        Group(SPINAL, 10, 4),
        Group(OUTSIDE_SPINE, 1, 0),
    ),
    # Ours: as many with disease as without, from both sides, and many with little; what
    # is outlined is `readers.SUSPICIOUS`.
    "screening": (
        Group(NORMAL, 100, 100),
        Group(METASTASIS, 40, 40),
        Group(MULTIPLE, 20, 20),
        Group(SPINAL, 10, 10),
        Group(OUTSIDE_SPINE, 30, 30),
    ),
    # Ours: the whole frame counts. Half are normal, a quarter has what the patients of
    # "screening" have, a quarter any burden.
    "whole_body": (
        Group(NORMAL, 100, 100),
        Group(METASTASIS, 20, 20),
        Group(MULTIPLE, 10, 10),
        Group(SPINAL, 5, 5),
        Group(OUTSIDE_SPINE, 15, 15),
        Group(METASTASIS, 50, 50, with_burden=True),
    ),
    "burden": (Group(METASTASIS, 100, 100, with_burden=True),),
}
# Their frames count as a whole, not the thorax alone; their folders have `bones/`.
WHOLE = ("whole_body", "burden")


@dataclass(frozen=True)
class Layout:
    """How a camera stores a patient's views, in the order of the frames.

    GE's private names, as evidence for a view, need a file for each view.
    """

    views: tuple[View, ...]
    one_file: bool
    evidence: Evidence


class Slot(NamedTuple):
    """The place of one patient in a population.

    Attributes:
        diagnosis: of the patient, see `spectjax.imaging.diagnosis`.
        layout: of the files.
        burden: wanted share of the skeleton's mass in metastases, percent.
    """

    diagnosis: str
    layout: Layout
    burden: float | None = None


def count_patients(population: str) -> int:
    """Returns the number of patients in the paper."""
    return sum(group.patients for group in POPULATIONS[population])


def seed_patient(population: str, seed: int, number: int) -> np.random.SeedSequence:
    """Returns the seed of a patient: nobody belongs to both populations."""
    which = list(POPULATIONS).index(population)
    return np.random.SeedSequence(seed, spawn_key=(which, number))


def draw_slots(population: str, patients: int, seed: int) -> list[Slot]:
    """Returns diagnosis, views and storage of each patient, in random order.

    The paper's number of patients gives its number of images of each class, any other
    number the same shares as nearly as possible. Of the patients with one view half are
    seen from the front. Burdens follow an additive recurrence with the golden ratio:
    any patients in a row cover their range evenly.
    """
    rng = derive_rng(np.random.SeedSequence(seed), 0)
    plan: list[tuple[Group, tuple[View, ...]]] = []
    for group in _scale(POPULATIONS[population], patients):
        single = range(group.patients - group.both_views)
        plan += [(group, VIEWS)] * group.both_views
        plan += [(group, (VIEWS[number % 2],)) for number in single]
    slots: list[Slot] = []
    place = float(derive_rng(np.random.SeedSequence(seed), 1).random())
    for index in rng.permutation(patients):
        group, views = plan[index]
        one_file = bool(rng.random() < 0.5)
        evidence: Evidence = rng.choice(["sct", "srt", "ge letter", "ge word"])
        if one_file and len(views) == 2:
            evidence = rng.choice(["sct", "srt"])
            if rng.random() < 0.3:
                views = views[::-1]
        burden = None
        if group.with_burden:
            place = (place + _GOLDEN_RATIO) % 1
            burden = float(np.interp(place, (0, 1), BURDENS))
        layout = Layout(views, one_file, evidence)
        slots.append(Slot(group.diagnosis, layout, burden))
    return slots


def _scale(groups: tuple[Group, ...], patients: int) -> list[Group]:
    """Returns groups of `patients` in all, by the largest remainders."""
    total = sum(group.patients for group in groups)
    exact = [group.patients * patients / total for group in groups]
    counts = [int(share) for share in exact]
    by_remainder = sorted(range(len(groups)), key=lambda i: counts[i] - exact[i])
    for index in by_remainder[: patients - sum(counts)]:
        counts[index] += 1
    return [
        group._replace(
            patients=count,
            both_views=round(count * group.both_views / group.patients),
        )
        for group, count in zip(groups, counts, strict=True)
    ]
