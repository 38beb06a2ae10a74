"""Crops phantom patients in both views and compares the boxes with the truth.

    python scripts/check_crops.py --patients=1000 --seed=3001
    python scripts/check_crops.py --any_frame

Prints how many boxes lie within 5 and within 10 pixels of the true rib cage on every
side, how many views were refused or flagged, and every box that is off and was not.
Errors where pixels are twice as large as usual count twice. How long a crop takes,
`python -m benchmarks.reading` measures.
"""

import dataclasses
import functools
import os

import numpy as np
from absl import flags

from spectjax.imaging.scan import BoneScan
from spectjax.imaging.thorax import CropError, crop_thorax
from spectjax.imaging.thorax.crop import PENALTY_PX
from spectjax.phantom import SimulatedView, simulate_patient
from spectjax.phantom.frames import draw_frame
from spectjax.system.commands import refuse_arguments, run_command
from spectjax.system.workers import Workers

_PATIENTS = flags.DEFINE_integer("patients", 500, "Patients; each has two views.")
_SEED = flags.DEFINE_integer("seed", 1, "Seed of the population.")
_ANY_FRAME = flags.DEFINE_bool(
    "any_frame", False, "Frames of 128 to 1024 columns, pixels of 1.8 to 4.8 mm."
)
_PROCESSES = flags.DEFINE_integer("processes", 2, "Processes that share the work.")
_SECONDS_PER_PATIENT = 0.3
_FEW_ROWS = 600  # pixels are twice as large


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One view: pixels from truth on each side, or why there is no box.

    Attributes:
        name: patient and view.
        errors: top, left, bottom, right; None if the view was refused.
        doubts: the flags, or the reason of the refusal.
    """

    name: str
    errors: tuple[int, ...] | None
    doubts: tuple[str, ...]

    @property
    def worst(self) -> float:
        """The largest error, pixels; infinite without a box."""
        return float("inf") if self.errors is None else max(map(abs, self.errors))


def check_patient(seed: int, any_frame: bool, index: int) -> list[Outcome]:
    """Simulates one patient and crops both views."""
    own = np.random.SeedSequence([seed, index])
    frame = draw_frame(np.random.default_rng([seed, index])) if any_frame else None
    patient = simulate_patient(own, frame=frame)
    return [
        _check_view(f"patient {index} {view}", patient.views[view], scan)
        for view, scan in patient.show(f"patient {index}").items()
    ]


def _check_view(name: str, view: SimulatedView, scan: BoneScan) -> Outcome:
    try:
        thorax = crop_thorax(scan)
    except CropError as error:
        return Outcome(name, None, (str(error),))
    ribs = np.add(thorax.transform.box, np.repeat([PENALTY_PX, -PENALTY_PX], 2))
    scale = 2 if len(view.counts) <= _FEW_ROWS else 1
    errors = tuple(scale * int(e) for e in ribs - view.thorax_box)
    return Outcome(name, errors, thorax.flags)


def describe(outcomes: list[Outcome]) -> str:
    """Returns the counts, and a line for each view that is worth a look."""
    found = [o for o in outcomes if o.errors is not None]
    flagged = [o for o in found if o.doubts]
    silent = [o for o in found if o.worst > 10 and not o.doubts]
    lines = [
        f"{len(outcomes)} views: {len(outcomes) - len(found)} refused, {len(flagged)} "
        f"flagged, of which {sum(o.worst <= 10 for o in flagged)} within 10 px"
    ]
    for limit in (5, 10):
        share = sum(o.worst <= limit for o in found) / len(outcomes)
        lines.append(f"within {limit:2d} px on every side: {share:.3%} of all views")
    lines.append(f"more than 10 px off and neither refused nor flagged: {len(silent)}")
    lines += [f"  {o.name}: top, left, bottom, right off by {o.errors}" for o in silent]
    doubtful = [o for o in outcomes if o.doubts]
    lines += [f"  {o.name}: {'; '.join(o.doubts)} {o.errors}" for o in doubtful]
    return "\n".join(lines)


def main(argv: list[str]) -> None:
    """Runs the check over the population and prints the table."""
    refuse_arguments(argv)
    check = functools.partial(check_patient, _SEED.value, _ANY_FRAME.value)
    patients = range(_PATIENTS.value)
    with Workers(_PROCESSES.value) as workers:
        found = workers.map(
            check, patients, seconds=_SECONDS_PER_PATIENT * len(patients)
        )
        print(describe([outcome for views in found for outcome in views]))


if __name__ == "__main__":
    # A crop runs on one core: several processes share the work.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    run_command(main)
