"""Times `spectjax.evaluate` on pictures of simulated patients, by stages.

    python -m benchmarks.evaluation
    python -m benchmarks.evaluation --pictures=100 --patients=6 --workdir=RUN

Some patients are simulated, every other one normal, and each of their views is counted
again and again with fresh noise until there are enough pictures. Seconds are processor
time, which other programs on the machine disturb least: of this process, and of those
that share the preparation. A profiler that watches the stages makes them a little
slower; with `--notimes` it does not, and the one line that is left can be set beside a
clock.
"""

import cProfile
import os
import pathlib
import pstats
import tempfile
import time

import numpy as np
from absl import flags
from PIL import Image

from spectjax.imaging.diagnosis import MULTIPLE, NORMAL
from spectjax.phantom import simulate_patient
from spectjax.phantom.detector import count_photons
from spectjax.system.commands import define_paths, refuse_arguments, run_command
from spectjax.system.files import format_csv, write_file

_PICTURES = flags.DEFINE_integer("pictures", 2000, "How many.", lower_bound=20)
_PATIENTS = flags.DEFINE_integer("patients", 10, "Simulated patients.", lower_bound=5)
_TIMES = flags.DEFINE_boolean("times", True, "Show the time of each stage.")
_WORKDIR = define_paths("workdir", "Run to score; may be repeated. Default: ours.")
_COLUMNS = ("file", "patient", "view", "label", "mask", "spacing_mm")
_ROOT = pathlib.Path(__file__).parents[1]
# What is shown: a word, the function and the end of its file's name.
STAGES = (
    ("preparing the folder", "prepare", "tfds_spect/prepare.py"),
    ("what the model learned from", "find_seen", "inference/provenance.py"),
    ("reading the images", "load_scored", "inference/external.py"),
    ("scoring", "score_candidate", "inference/external.py"),
    ("  the model's answers", "predict", "inference/ready.py"),
    ("  its regions", "add", "hotspots/region_cases.py"),
    ("  pixels and lesions", "measure_cases", "hotspots/cases.py"),
    ("  scores and intervals", "summarise_segmentation", "hotspots/scores.py"),
    ("  operating points", "summarise_operation", "hotspots/operation_scores.py"),
    ("  groups of images", "score_groups", "hotspots/subgroups.py"),
    ("  pictures", "save_figure", "report/picture_parts.py"),
)


def write_pictures(folder: pathlib.Path, pictures: int, patients: int) -> None:
    """Writes pictures of whole bodies, masks of their metastases and images.csv."""
    folder.mkdir(parents=True)
    rng, rows = np.random.default_rng(0), []
    for number in range(patients):
        diagnosis = NORMAL if number % 2 else MULTIPLE
        found = simulate_patient(number, diagnosis=diagnosis)
        for view, seen in found.views.items():
            mask = f"mask{number}_{view}.png"
            marked = np.zeros(seen.counts.shape, bool)
            marked |= np.any(seen.lesion_masks, axis=0)
            Image.fromarray(marked.astype(np.uint8) * 255).save(folder / mask)
            for copy in range(-(-pictures // (2 * patients))):
                file = f"{number}_{copy}_{view}.png"
                counts = count_photons(rng, seen.expectation)
                Image.fromarray(counts).save(folder / file)
                told = (MULTIPLE, mask) if marked.any() else (NORMAL, "")
                rows.append((file, number, view, *told, f"{found.spacing_mm:.3f}"))
    write_file(folder / "images.csv", format_csv(_COLUMNS, rows[:pictures]))


def print_times(profile: cProfile.Profile) -> None:
    """Prints the seconds of each of `STAGES`, what it calls included."""
    found = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    for words, name, place in STAGES:
        seconds = sum(
            times[3]
            for (file, _, function), times in found.items()
            if function == name and file.endswith(place)
        )
        print(f"  {words:30} {seconds:7.1f} s")


def main(argv: list[str]) -> None:
    """Scores the pictures and prints how long it took."""
    refuse_arguments(argv)
    # Here, so that --help need not wait for TFDS.
    from spectjax.evaluate import evaluate

    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch, "pictures")
        write_pictures(folder, _PICTURES.value, _PATIENTS.value)
        profile = cProfile.Profile(time.process_time)
        before, start = os.times(), time.monotonic()
        if _TIMES.value:
            profile.enable()
        evaluate(
            manual_dir=folder,
            output_dir=pathlib.Path(scratch, "out"),
            workdirs=_WORKDIR.value,
        )
        profile.disable()
        clock, after = time.monotonic() - start, os.times()
    own = after.user + after.system - before.user - before.system
    shared = after.children_user + after.children_system
    shared -= before.children_user + before.children_system
    print(
        f"{_PICTURES.value} pictures: {own + shared:.0f} s of processor time, of these "
        f"{shared:.0f} s of processes that shared the work; {clock:.0f} s by the clock"
    )
    if _TIMES.value:
        print_times(profile)


if __name__ == "__main__":
    run_command(main)
