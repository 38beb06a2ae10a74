"""Times the phantom, the reading of its files and the crop on one core, by stages.

    python -m benchmarks.reading
    python -m benchmarks.reading --what=phantom --patients=50

Seconds are processor time of this process, which other programs on the machine disturb
least. The patients are of the classification population, with all trials until the
readers agree. Stages are the functions in which most of the time is spent, those that
they call included; a profiler that watches them makes all a little slower.
"""

import cProfile
import pathlib
import pstats
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import TypeVar

from absl import flags

from spectjax.imaging.dicom.reading import read_bone_scans
from spectjax.imaging.scan import BoneScan
from spectjax.imaging.thorax import CropError, crop_thorax
from spectjax.phantom import simulate_patient, write_phantom
from spectjax.system.commands import refuse_arguments, run_command
from spectjax.system.messages import UserError

_WHAT = flags.DEFINE_list("what", ["phantom", "crop"], "Any of: phantom, crop.")
_PATIENTS = flags.DEFINE_integer("patients", 30, "Number of patients.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the population.", lower_bound=0)
_ROOT = pathlib.Path(__file__).parents[1]
_T = TypeVar("_T")
_R = TypeVar("_R")
_SHOWN = 0.02  # share of the time from which on a stage is shown


def time_phantom(folder: pathlib.Path, patients: int, seed: int) -> None:
    """Prints how long it takes to simulate patients and to write them to a folder."""
    simulate_patient(seed)  # builds the reference body
    profile = cProfile.Profile(time.process_time)
    start = time.process_time()
    with profile:
        write_phantom(
            folder,
            patients=patients,
            seed=seed,
            population="classification",
            processes=1,
        )
    seconds = time.process_time() - start
    print(f"phantom: {patients / seconds:.2f} patients/s on one core ({patients})")
    print_stages(profile, "spectjax/phantom", patients, "patient")


def time_crop(folder: pathlib.Path) -> None:
    """Prints how long it takes to read the files of a folder and to crop each view."""
    files = sorted((folder / "dicom").iterdir())
    scans, seconds = _time_each(read_bone_scans, files)
    _print_times("reading", seconds, "files", "")
    views = [scan for found in scans for scan in found]
    crop_thorax(views[0])  # whatever takes its time once
    cropped, seconds = _time_each(_is_cropped, views)
    _print_times("crop", seconds, "views", f", {cropped.count(False)} refused")
    with cProfile.Profile(time.process_time) as profile:
        for view in views:
            _is_cropped(view)
    print_stages(profile, "spectjax/imaging", len(views), "view")


def _is_cropped(scan: BoneScan) -> bool:
    try:
        crop_thorax(scan)
    except CropError:
        return False
    return True


def _time_each(
    function: Callable[[_T], _R], arguments: list[_T]
) -> tuple[list[_R], list[float]]:
    """Returns what a function gives for each argument, and the seconds of each."""
    results, seconds = [], []
    for argument in arguments:
        start = time.process_time()
        results.append(function(argument))
        seconds.append(time.process_time() - start)
    return results, seconds


def _print_times(what: str, seconds: list[float], things: str, more: str) -> None:
    print(
        f"{what}: {len(seconds) / sum(seconds):.0f} {things}/s on one core, "
        f"median {1000 * statistics.median(seconds):.1f} ms "
        f"({len(seconds)} {things}{more})"
    )


def print_stages(profile: cProfile.Profile, room: str, count: int, thing: str) -> None:
    """Prints the milliseconds of the functions of a room that take the most."""
    functions = pstats.Stats(profile).get_stats_profile().func_profiles
    stages = {
        name: function.cumtime
        for name, function in functions.items()
        if function.file_name.startswith(f"{_ROOT}/{room}/") and name[0] not in "_<"
    }
    whole = max(stages.values())
    for name, seconds in sorted(stages.items(), key=lambda item: -item[1]):
        if seconds >= _SHOWN * whole:
            print(f"  {name:20s} {1000 * seconds / count:7.2f} ms per {thing}")


def main(argv: list[str]) -> None:
    """Runs what is asked for."""
    refuse_arguments(argv)
    if set(_WHAT.value) - {"phantom", "crop"}:
        raise UserError(f"Expected --what=phantom,crop, got {_WHAT.value}.")
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch, "phantom")
        if "phantom" in _WHAT.value:
            time_phantom(folder, _PATIENTS.value, _SEED.value)
        if "crop" in _WHAT.value:
            write_phantom(
                folder,
                patients=_PATIENTS.value,
                seed=_SEED.value,
                population="classification",
            )
            time_crop(folder)


if __name__ == "__main__":
    run_command(main)
