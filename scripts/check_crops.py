"""Crops phantom patients in both views and compares the boxes with the truth.

    python scripts/check_crops.py --patients=1000 --seed=3001 --profile

Prints how many boxes lie within 5 and within 10 pixels of the true rib cage on every
side, how many views were refused or flagged, and every box that is off and was not.
With --profile also how long each stage of a crop takes.
"""

import contextlib
import dataclasses
import functools
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
from absl import flags

from spectjax.imaging.scan import BoneScan
from spectjax.imaging.thorax import CropError, crop, crop_thorax, landmarks
from spectjax.phantom import SimulatedView, simulate_patient
from spectjax.system.commands import run_command

_PATIENTS = flags.DEFINE_integer("patients", 500, "Patients; each has two views.")
_SEED = flags.DEFINE_integer("seed", 1, "Seed of the population.")
_PROCESSES = flags.DEFINE_integer("processes", 2, "Processes that share the work.")
_PROFILE = flags.DEFINE_bool("profile", False, "Print the time of each stage.")

# Stages in the order of a crop, and where they are called by name.
_STAGES: dict[str, ModuleType] = {
    "find_body": crop,
    "count_rows": crop,
    "find_legs": landmarks,
    "find_shoulders": landmarks,
    "find_spine": landmarks,
    "measure_legs": landmarks,
    "find_sides": landmarks,
    "find_lowest_ribs": landmarks,
    "find_doubts": crop,
    "remove_noise": crop,
}
_REPEATS = 3  # the fastest of them counts: the others were disturbed


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One view: pixels from truth on each side, or why there is no box.

    Attributes:
        name: patient and view.
        errors: top, left, bottom, right; None if the view was refused.
        doubts: the flags, or the reason of the refusal.
        seconds: of the whole crop under "crop", and of each stage if profiled.
    """

    name: str
    errors: tuple[int, ...] | None
    doubts: tuple[str, ...]
    seconds: dict[str, float]


def check_patient(seed: int, profile: bool, index: int) -> list[Outcome]:
    """Simulates one patient and crops both views."""
    patient = simulate_patient(np.random.SeedSequence([seed, index]))
    return [
        _check_view(f"patient {index} {view.view}", view, patient.spacing_mm, profile)
        for view in patient.views.values()
    ]


def _check_view(
    name: str, view: SimulatedView, spacing_mm: float, profile: bool
) -> Outcome:
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
    runs: list[dict[str, float]] = []
    try:
        for _ in range(_REPEATS):
            seconds: dict[str, float] = defaultdict(float)
            with _timed_stages(seconds) if profile else contextlib.nullcontext():
                start = time.perf_counter()
                thorax = crop_thorax(scan)
                seconds["crop"] = time.perf_counter() - start
            runs.append(seconds)
    except CropError as error:
        return Outcome(name, None, (str(error),), {})
    fastest = min(runs, key=lambda run: run["crop"])
    found = thorax.landmarks
    box = (found.shoulders, found.left, found.lowest_ribs, found.right)
    errors = tuple(int(e) for e in np.subtract(box, view.thorax_box))
    return Outcome(name, errors, thorax.flags, dict(fastest))


@contextlib.contextmanager
def _timed_stages(seconds: dict[str, float]) -> Iterator[None]:
    """Adds what each stage takes to `seconds` while the context lasts."""

    def timed(name: str, stage: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return stage(*args, **kwargs)
            finally:
                seconds[name] += time.perf_counter() - start

        return run

    with contextlib.ExitStack() as stack:
        for name, module in _STAGES.items():
            stage = timed(name, getattr(module, name))
            stack.enter_context(mock.patch.object(module, name, stage))
        yield


def _print_times(outcomes: list[Outcome]) -> None:
    """Prints the median time of a crop and, where they were measured, its stages."""
    runs = [o.seconds for o in outcomes if o.seconds]
    median = 1000 * np.median([run["crop"] for run in runs])
    print(f"median time of a crop: {median:.1f} ms ({1000 / median:.0f} crops/s)")
    stages = [name for name in _STAGES if name in runs[0]]
    if not stages:
        return
    left = median
    for name in stages:
        stage = 1000 * np.median([run[name] for run in runs])
        left -= stage
        print(f"  {name:17s} {stage:5.2f} ms")
    print(f"  {'the rest':17s} {left:5.2f} ms")


def main(_: list[str]) -> None:
    """Runs the check over the population and prints the table."""
    check = functools.partial(check_patient, _SEED.value, _PROFILE.value)
    with get_context("spawn").Pool(_PROCESSES.value) as pool:
        found_by_patient = pool.imap(check, range(_PATIENTS.value), 8)
        outcomes = [outcome for views in found_by_patient for outcome in views]
    found = [o for o in outcomes if o.errors is not None]
    refused = len(outcomes) - len(found)
    worst = np.array([np.abs(o.errors).max() for o in found])
    flagged = np.array([bool(o.doubts) for o in found])
    print(
        f"{len(outcomes)} views: {refused} refused, {flagged.sum()} flagged, of which "
        f"{(flagged & (worst <= 10)).sum()} within 10 px"
    )
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
    _print_times(outcomes)


if __name__ == "__main__":
    # A crop runs on one core: several processes share the work.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    run_command(main)
