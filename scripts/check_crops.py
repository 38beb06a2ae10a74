"""Crops phantom patients in both views and compares the boxes with the truth.

    python scripts/check_crops.py --patients=500 --seed=1

Prints how many boxes lie within 5 and within 10 pixels of the true rib cage on every
side, how many views were refused or flagged, and every box that is off and was not.
"""

import dataclasses
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from absl import app, flags

from spectjax.imaging.dicom import BoneScan
from spectjax.imaging.phantom import SimulatedView, simulate_patient
from spectjax.imaging.thorax import CropError, crop_thorax

_PATIENTS = flags.DEFINE_integer("patients", 500, "Patients; each has two views.")
_SEED = flags.DEFINE_integer("seed", 1, "Seed of the population.")
_PROCESSES = flags.DEFINE_integer("processes", 2, "Processes that share the work.")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One view: pixels from truth on each side, or why there is no box."""

    name: str
    errors: tuple[int, ...] | None
    doubts: tuple[str, ...]
    seconds: float


def check_patient(seed_and_index: tuple[int, int]) -> list[Outcome]:
    """Simulates one patient and crops both views."""
    seed, index = seed_and_index
    patient = simulate_patient(np.random.SeedSequence([seed, index]))
    return [
        _check_view(f"patient {index} {view.view}", view, patient.spacing_mm)
        for view in patient.views.values()
    ]


def _check_view(name: str, view: SimulatedView, spacing_mm: float) -> Outcome:
    scan = BoneScan(
        counts=view.counts.astype(np.float32),
        view=view.view,
        view_evidence="phantom",
        spacing_mm=(spacing_mm, spacing_mm),
        path=Path(name),
        frame=0,
        patient_key=name,
        patient_evidence="Patient ID",
        image_key=name,
        synthetic=True,
    )
    start = time.perf_counter()
    try:
        thorax = crop_thorax(scan)
    except CropError as error:
        return Outcome(name, None, (str(error),), time.perf_counter() - start)
    seconds = time.perf_counter() - start
    found = thorax.landmarks
    box = (found.shoulders, found.left, found.lowest_ribs, found.right)
    errors = tuple(int(e) for e in np.subtract(box, view.thorax_box))
    return Outcome(name, errors, thorax.flags, seconds)


def main(_: list[str]) -> None:
    """Runs the check over the population and prints the table."""
    work = [(_SEED.value, index) for index in range(_PATIENTS.value)]
    with get_context("spawn").Pool(_PROCESSES.value) as pool:
        outcomes = [o for views in pool.imap(check_patient, work, 8) for o in views]
    found = [o for o in outcomes if o.errors is not None]
    refused = len(outcomes) - len(found)
    worst = np.array([np.abs(o.errors).max() for o in found])
    flagged = np.array([bool(o.doubts) for o in found])
    print(f"{len(outcomes)} views: {refused} refused, {flagged.sum()} flagged")
    for limit in (5, 10):
        share = (worst <= limit).sum() / len(outcomes)
        print(f"within {limit:2d} px on every side: {share:.3%} of all views")
    silent = [o for o, w in zip(found, worst, strict=True) if w > 10 and not o.doubts]
    print(f"more than 10 px off and neither refused nor flagged: {len(silent)}")
    for outcome in silent:
        print(f"  {outcome.name}: top, left, bottom, right off by {outcome.errors}")
    for outcome in outcomes:
        if outcome.doubts:
            print(f"  {outcome.name}: {'; '.join(outcome.doubts)} {outcome.errors}")
    median = np.median([o.seconds for o in outcomes])
    print(f"median time of a crop: {1000 * median:.1f} ms")


if __name__ == "__main__":
    app.run(main)
