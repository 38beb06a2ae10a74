"""Times the phantom and the crop on one core, stage by stage.

    python scripts/benchmark_data.py
    python scripts/benchmark_data.py --what=phantom --patients=50

Seconds are processor time of this process, which other programs on the machine disturb
least. The phantom's patients are those of the classification population, with all
trials until the readers agree; the crop's views are theirs.
"""

import functools
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np
from absl import flags

sys.path.insert(0, str(Path(__file__).parents[1]))
from spectjax.imaging.scan import BoneScan, View
from spectjax.imaging.thorax import CropError, crop_thorax
from spectjax.phantom import cases, count_patients, draw_slots, subject
from spectjax.phantom.cases import Case, find_case
from spectjax.phantom.slots import seed_patient
from spectjax.system.commands import run_command
from spectjax.system.messages import UserError

_WHAT = flags.DEFINE_list("what", ["phantom", "crop"], "Any of: phantom, crop.")
_PATIENTS = flags.DEFINE_integer("patients", 30, "Number of patients.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the population.", lower_bound=0)

# Functions whose time is shown; `project` is a part of `draw_subject`.
_STAGES = {
    cases: (
        "draw_subject",
        "draw_disease",
        "expose",
        "read_view",
        "diagnose_view",
        "take_images",
    ),
    subject: ("project",),
}


@contextmanager
def time_calls(stages: dict[ModuleType, tuple[str, ...]]) -> Iterator[dict[str, float]]:
    """Yields the seconds spent in each function, filled as they are called."""
    seconds: dict[str, float] = defaultdict(float)
    originals = [(m, name, getattr(m, name)) for m in stages for name in stages[m]]

    def wrap(name, function):
        @functools.wraps(function)
        def timed(*args, **kwargs):
            start = time.process_time()
            result = function(*args, **kwargs)
            seconds[name] += time.process_time() - start
            return result

        return timed

    for module, name, function in originals:
        setattr(module, name, wrap(name, function))
    try:
        yield seconds
    finally:
        for module, name, function in originals:
            setattr(module, name, function)


def time_phantom(patients: int, seed: int) -> list[Case]:
    """Prints the time of patients of the classification population and returns them."""
    slots = draw_slots("classification", count_patients("classification"), seed)
    find = functools.partial(_find, slots, seed)
    find(0)  # builds the reference body
    found, seconds = [], []
    with time_calls(_STAGES) as stages:
        for number in range(patients):
            start = time.process_time()
            found.append(find(number % len(slots)))
            seconds.append(time.process_time() - start)
    views = sum(len(case.patient.views) for case in found)
    trials = sum(case.trials for case in found)
    print(
        f"phantom: {patients / sum(seconds):.2f} patients/s on one core, "
        f"median {1000 * statistics.median(seconds):.0f} ms "
        f"({patients} patients, {views} views, {trials} trials)"
    )
    for name, total in sorted(stages.items(), key=lambda item: -item[1]):
        print(f"  {name:14s} {1000 * total / patients:6.1f} ms per patient")
    return found


def _find(slots: list, seed: int, index: int) -> Case:
    slot = slots[index]
    patient_seed = seed_patient("classification", seed, index + 1)
    return find_case(patient_seed, slot.diagnosis, slot.layout.views)


def time_crop(found: list[Case]) -> None:
    """Prints the time of the crop of every view."""
    scans = [
        _make_scan(f"P{number:04d}", view, case)
        for number, case in enumerate(found, 1)
        for view in case.patient.views
    ]
    crop_thorax(scans[0])
    seconds, refused = [], 0
    for scan in scans:
        start = time.process_time()
        try:
            crop_thorax(scan)
        except CropError:
            refused += 1
        seconds.append(time.process_time() - start)
    print(
        f"crop: {len(scans) / sum(seconds):.0f} views/s on one core, "
        f"median {1000 * statistics.median(seconds):.1f} ms "
        f"({len(scans)} views, {refused} refused)"
    )


def _make_scan(name: str, view: View, case: Case) -> BoneScan:
    return BoneScan(
        counts=case.patient.views[view].counts.astype(np.float32),
        view=view,
        view_evidence="phantom",
        spacing_mm=(case.patient.spacing_mm, case.patient.spacing_mm),
        path=Path(name),
        frame=0,
        patient_key=name,
        patient_evidence="Patient ID",
        image_key=f"{name}_{view}",
        synthetic=True,
    )


def main(argv: list[str]) -> None:
    """Runs what is asked for."""
    unknown = set(_WHAT.value) - {"phantom", "crop"}
    if len(argv) > 1 or unknown:
        raise UserError(f"Expected --what=phantom,crop, got {_WHAT.value}.")
    found = time_phantom(_PATIENTS.value, _SEED.value)
    if "crop" in _WHAT.value:
        time_crop(found)


if __name__ == "__main__":
    run_command(main)
