"""A folder of simulated patients, as a hospital would hand it over.

DIR/dicom/P0001.dcm                              one file with two frames, or
DIR/dicom/P0002_A.dcm, P0002_P.dcm               a file for each view
DIR/annotations/reader1/P0001_anterior.json      LabelMe outlines
DIR/truth/P0001.npz                              masks and boxes, for tests only
DIR/phantom.json                                 written last: the set is complete
"""

import concurrent.futures
import json
import multiprocessing
import os
import pathlib
from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from spectjax.files import write_file
from spectjax.imaging.phantom.files import Evidence, Layout, write_patient
from spectjax.imaging.phantom.patient import simulate_patient
from spectjax.imaging.phantom.readers import read_view
from spectjax.imaging.scan import View

VERSION = 1  # changes whenever the same seed gives other files
# [P1] has 112 images of 76 patients, so 36 of them were seen from both sides.
_SHARE_OF_BOTH = 36 / 76
_COMPLETE = "phantom.json"
_STARTED = "phantom.partial.json"


class PhantomError(ValueError):
    """A folder that cannot take the phantom; the message is one line for the user."""


def write_phantom(
    output_dir: str | os.PathLike[str],
    *,
    patients: int,
    seed: int,
    processes: int | None = None,
) -> pathlib.Path:
    """Writes a population of patients with bone metastases, or finds it written.

    The same seed gives the same bytes, however many processes write them. A folder
    that was left half-written by the same call is continued.

    Args:
        output_dir: folder that does not exist yet, is empty, or holds this phantom.
        patients: number of patients, at least 1; they have 112/76 views each.
        seed: seed of the population, at least 0.
        processes: how many write at the same time; one for each core by default.

    Returns:
        The folder.

    Raises:
        PhantomError: if the folder holds anything else, or a number is out of range.
        WriteError: if a file cannot be written.
    """
    if patients < 1 or seed < 0 or (processes is not None and processes < 1):
        raise PhantomError(
            "Expected patients >= 1, seed >= 0 and processes >= 1, got "
            f"{patients}, {seed} and {processes}."
        )
    folder = pathlib.Path(output_dir)
    wanted = {"patients": patients, "seed": seed, "version": VERSION, "synthetic": True}
    if _is_complete(folder, wanted):
        return folder
    write_file(folder / _STARTED, json.dumps(wanted))

    layouts = draw_layouts(patients, seed)
    jobs = [
        (folder, number, seed, layout)
        for number, layout in enumerate(layouts, 1)
        # The truth is a patient's last file.
        if not (folder / "truth" / f"{_name(number)}.npz").exists()
    ]
    for _ in tqdm(
        _run(jobs, processes or os.cpu_count() or 1),
        total=len(jobs),
        desc="phantom",
        unit="patient",
    ):
        pass
    views = sum(len(layout.views) for layout in layouts)
    write_file(folder / _COMPLETE, json.dumps({**wanted, "views": views}, indent=1))
    (folder / _STARTED).unlink()
    return folder


def draw_layouts(patients: int, seed: int) -> list[Layout]:
    """Returns which views of each patient are kept, and how they are stored.

    Of 76 patients 36 keep both views, as in [P1]; the rest are half anterior and half
    posterior.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
    both = round(patients * _SHARE_OF_BOTH)
    kept: list[tuple[View, ...]] = [("anterior", "posterior")] * both
    kept += [
        ("posterior",) if number % 2 else ("anterior",)
        for number in range(patients - both)
    ]
    layouts = []
    for index in rng.permutation(patients):
        views = kept[index]
        one_file = bool(rng.random() < 0.5)
        evidence: Evidence = rng.choice(["sct", "srt", "ge letter", "ge word"])
        if one_file and len(views) == 2:
            evidence = rng.choice(["sct", "srt"])
            if rng.random() < 0.3:
                views = views[::-1]
        layouts.append(Layout(views, one_file, evidence))
    return layouts


def _is_complete(folder: pathlib.Path, wanted: dict[str, int | bool]) -> bool:
    """Returns whether the folder holds the phantom; False if it can be written.

    Raises:
        PhantomError: if it holds something else.
    """
    for name in (_COMPLETE, _STARTED):
        try:
            found = json.loads((folder / name).read_text())
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise PhantomError(
                f"{folder / name}: expected the JSON of a phantom, found none that can "
                f"be read ({error}); choose another --output_dir or remove the folder."
            ) from error
        other = [key for key in wanted if found.get(key) != wanted[key]]
        if other:
            raise PhantomError(
                f"{folder}: holds another phantom ("
                + ", ".join(f"{k} {found.get(k)}, not {wanted[k]}" for k in other)
                + "); choose another --output_dir or remove the folder."
            )
        return name == _COMPLETE
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise PhantomError(
            f"{folder}: expected an empty or new folder, or a phantom with its "
            f"{_COMPLETE}; choose another --output_dir."
        )
    return False


_Job = tuple[pathlib.Path, int, int, Layout]


def _run(jobs: list[_Job], processes: int) -> Iterator[None]:
    processes = min(processes, len(jobs))
    if processes <= 1:
        yield from map(_write_one, jobs)
        return
    # A fork would copy the threads' locks of a parent that runs JAX.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(processes, context) as pool:
        futures = [pool.submit(_write_one, job) for job in jobs]
        try:
            for future in concurrent.futures.as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _write_one(job: _Job) -> None:
    folder, number, seed, layout = job
    # Each patient has a seed of their own: no process depends on another.
    patient_seed = np.random.SeedSequence(seed, spawn_key=(number,))
    patient = simulate_patient(patient_seed)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number, 9)))
    # Both views are read, so that what a patient keeps does not change the outlines.
    outlines = {view: read_view(rng, seen) for view, seen in patient.views.items()}
    write_patient(folder, _name(number), patient, layout, outlines, (seed, number))


def _name(number: int) -> str:
    return f"P{number:04d}"
