"""Times `spectjax.predict` from files on a disk to results, by stages.

    python -m benchmarks.prediction
    python -m benchmarks.prediction --studies=40 --patients=4 --pictures

Some patients are simulated, every other one normal, and each is counted again and again
with fresh noise, anterior and posterior in one DICOM file, until there are enough
studies. Loading the model, and whatever it compiles, happens on one study before and is
told apart. Seconds by the clock tell the speed, those of processors how many were
busy; with `--times` a profiler shows the stages by the clock, of all but the thread in
which the model computes, and makes them a little slower.
"""

import contextlib
import cProfile
import os
import pathlib
import pstats
import tempfile
import time
from dataclasses import replace

import numpy as np
from absl import flags

from spectjax import predict
from spectjax.imaging.diagnosis import MULTIPLE, NORMAL
from spectjax.phantom import simulate_patient
from spectjax.phantom.detector import count_photons
from spectjax.phantom.files import encode_dicom
from spectjax.system.commands import refuse_arguments, run_command
from spectjax.system.files import write_file

_STUDIES = flags.DEFINE_integer("studies", 1000, "How many.", lower_bound=1)
_PATIENTS = flags.DEFINE_integer("patients", 10, "Simulated patients.", lower_bound=1)
_PICTURES = flags.DEFINE_boolean("pictures", False, "Draw a picture of each view.")
_TIMES = flags.DEFINE_boolean("times", False, "Show the time of each stage.")
# What is shown: a word, the function and the end of its file's name.
STAGES = (
    ("looking for files", "__init__", "imaging/intake.py"),
    ("reading", "read_bone_scans", "imaging/dicom/reading.py"),
    ("crop", "crop_thorax", "imaging/thorax/crop.py"),
    ("waiting for the model", "result", "concurrent/futures/_base.py"),
    ("what is said of them", "describe_hotspots", "tasks/hotspots/findings.py"),
    ("pictures", "save_figure", "report/picture_parts.py"),
    ("JSON", "write_json", "system/files.py"),
)


def write_studies(folder: pathlib.Path, studies: int, patients: int) -> None:
    """Writes a DICOM file of each study, both views."""
    rng = np.random.default_rng(0)
    bodies = [
        simulate_patient(number, diagnosis=NORMAL if number % 2 else MULTIPLE)
        for number in range(min(patients, studies))
    ]
    for number in range(studies):
        body = bodies[number % len(bodies)]
        again = {
            view: replace(seen, counts=count_photons(rng, seen.expectation))
            for view, seen in body.views.items()
        }
        name = f"P{number:05d}"
        content = encode_dicom(
            name, replace(body, views=again), tuple(again), "sct", ("benchmark",)
        )
        write_file(folder / f"{name}.dcm", content)


def ask(files: pathlib.Path, output_dir: pathlib.Path, *, pictures: bool) -> None:
    """Predicts all files of a folder, and says nothing."""
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
        predict.run([files], output_dir=output_dir, pictures=pictures)


def print_times(profile: cProfile.Profile, views: int) -> None:
    """Prints the milliseconds of each of `STAGES`, what it calls included."""
    found = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    for words, name, place in STAGES:
        seconds = sum(
            times[3]
            for (file, _, function), times in found.items()
            if function == name and file.endswith(place)
        )
        print(f"  {words:25} {1000 * seconds / views:7.1f} ms per view")


def main(argv: list[str]) -> None:
    """Predicts the studies and prints how long it took."""
    refuse_arguments(argv)
    studies = _STUDIES.value
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        write_studies(folder / "one", 1, 1)
        write_studies(folder / "all", studies, _PATIENTS.value)
        start = time.monotonic()
        ask(folder / "one", folder / "out_one", pictures=_PICTURES.value)
        print(f"the first study, with loading: {time.monotonic() - start:.1f} s")
        profile = cProfile.Profile()
        before, start = os.times(), time.monotonic()
        if _TIMES.value:
            profile.enable()
        ask(folder / "all", folder / "out_all", pictures=_PICTURES.value)
        profile.disable()
        clock, after = time.monotonic() - start, os.times()
        written = len(list((folder / "out_all").glob("*.json")))
    used = after.user + after.system - before.user - before.system
    used += after.children_user + after.children_system
    used -= before.children_user + before.children_system
    print(
        f"{studies} studies, {written} views written: {studies / clock:.2f} studies/s "
        f"({clock:.0f} s by the clock), {used / studies:.3f} s of processor time each, "
        f"{used / clock:.2f} processors busy"
    )
    if _TIMES.value:
        print_times(profile, 2 * studies)


if __name__ == "__main__":
    run_command(main)
