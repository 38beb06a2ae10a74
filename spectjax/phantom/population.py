"""A folder of simulated patients, as a hospital would hand it over.

One of the papers' populations (`spectjax.phantom.slots`), in these files:

DIR/dicom/P0001.dcm                              one file with two frames, or
DIR/dicom/P0002_A.dcm, P0002_P.dcm               a file for each view
DIR/annotations/reader1/P0001_anterior.json      LabelMe outlines
DIR/bones/P0001_anterior.png, classes.csv        region of the skeleton of each pixel
DIR/truth/P0001.npz                              masks and boxes, for tests only
DIR/phantom.json                                 written last: the set is complete

Only populations of the whole frame (`slots.WHOLE`) have bones.
"""

import json
import os
import pathlib
from collections import Counter

from tqdm import tqdm

from spectjax.bones.regions import NAMES
from spectjax.phantom.cases import find_case, scan_case_again
from spectjax.phantom.devices import DEVICES
from spectjax.phantom.files import date_study, write_patient
from spectjax.phantom.frames import draw_frame
from spectjax.phantom.readers import METASTASES, SUSPICIOUS
from spectjax.phantom.slots import POPULATIONS, WHOLE, Slot, draw_slots, seed_patient
from spectjax.phantom.subject import derive_rng
from spectjax.system.files import format_csv, write_file
from spectjax.system.locks import LOCK_NAME
from spectjax.system.messages import UserError
from spectjax.system.workers import WorkerError, Workers

VERSION = 4  # changes whenever the same seed gives other images, outlines or truth
_SECONDS_PER_PATIENT = 0.3
_FRAME = 30  # a stream of a patient's seed, beside the bodies of `find_case`
_COMPLETE = "phantom.json"
_STARTED = "phantom.partial.json"
_BEFORE: dict[str, int | str] = {"camera": "usual", "issuer": "", "rescan": 0}


class PhantomError(UserError):
    """A folder that cannot take the phantom; the message is one line for the user."""


def write_phantom(
    output_dir: str | os.PathLike[str],
    *,
    patients: int,
    seed: int,
    population: str = "segmentation",
    any_frame: bool = False,
    camera: str = "usual",
    issuer: str = "",
    rescan: int = 0,
    processes: int | None = None,
) -> pathlib.Path:
    """Writes a population of patients, or finds it written.

    The same seed gives the same bytes, however many processes write them. A folder that
    was left half-written by the same call is continued. 76 patients of "segmentation",
    all with metastases in every thorax, have [P1]'s 112 images, 251 of
    "classification", mostly normal, [P2]'s 346. Scans have the papers' 256 columns of
    some 2.3 mm, or with `any_frame` those of `draw_frame`. The camera is one of
    `DEVICES`; the Patient IDs are of the issuer, if one is named. With `rescan` the
    folder has another study of the patients that the same call without it writes: they
    were not treated, lie down anew, and have the same Patient IDs; 1 is half a year
    later, 2 a year. The folder does not exist yet, is empty, or holds this phantom;
    there is a process for each core by default.

    Raises:
        PhantomError: if the folder holds anything else, a number is out of range, or a
            process was killed.
        WriteError: if a file cannot be written.
    """
    if min(patients, processes or 1) < 1 or min(seed, rescan) < 0 or processes == 0:
        raise PhantomError(
            "Expected patients >= 1, seed >= 0, rescan >= 0 and processes >= 1, got "
            f"{patients}, {seed}, {rescan} and {processes}."
        )
    if population not in POPULATIONS:
        raise PhantomError(
            f"Expected a population, one of {', '.join(POPULATIONS)}, got "
            f"{population!r}."
        )
    if camera not in DEVICES or (any_frame and DEVICES[camera].frame):
        raise PhantomError(
            f"Expected a camera, one of {', '.join(DEVICES)}, and any_frame for one "
            f"without a frame of its own, got {camera!r} and any_frame={any_frame}."
        )
    folder = pathlib.Path(output_dir)
    wanted: dict[str, int | str] = {
        "population": population,
        "patients": patients,
        "seed": seed,
        "any_frame": any_frame,
        "version": VERSION,
        "synthetic": True,
    }
    # What a folder of before there was a choice has is not written.
    choice: dict[str, int | str]
    choice = {"camera": camera, "issuer": issuer, "rescan": rescan}
    wanted |= {key: choice[key] for key in choice if choice[key] != _BEFORE[key]}
    if _is_complete(folder, _BEFORE | wanted):
        return folder
    write_file(folder / _STARTED, json.dumps(wanted))

    if population in WHOLE:
        table = format_csv(("label", "name"), enumerate(NAMES, 1))
        write_file(folder / "bones" / "classes.csv", table)
    slots = draw_slots(population, patients, seed)
    jobs = [
        (folder, population, seed, any_frame, camera, issuer, rescan, number, slot)
        for number, slot in enumerate(slots, 1)
        # The truth is a patient's last file.
        if not (folder / "truth" / f"{_name(number)}.npz").exists()
    ]
    with Workers(processes) as workers:
        done = workers.map(_write_one, jobs, seconds=_SECONDS_PER_PATIENT * len(jobs))
        try:
            for _ in tqdm(
                done, "Simulating", len(jobs), unit=" patients", disable=None
            ):
                pass
        except WorkerError as error:
            raise PhantomError(str(error)) from error
    images = Counter(slot.diagnosis for slot in slots for _ in slot.layout.views)
    record = {**wanted, "views": images.total(), "views_by_diagnosis": images}
    write_file(folder / _COMPLETE, json.dumps(record, indent=1))
    (folder / _STARTED).unlink()
    return folder


def _is_complete(folder: pathlib.Path, wanted: dict[str, int | str]) -> bool:
    """Returns whether the folder holds the phantom; False if it can be written."""
    for name in (_COMPLETE, _STARTED):
        try:
            found = _BEFORE | json.loads((folder / name).read_text())
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
    if folder.exists() and not (
        folder.is_dir() and {file.name for file in folder.iterdir()} <= {LOCK_NAME}
    ):
        raise PhantomError(
            f"{folder}: expected an empty or new folder, or a phantom with its "
            f"{_COMPLETE}; choose another --output_dir."
        )
    return False


_Job = tuple[pathlib.Path, str, int, bool, str, str, int, int, Slot]


def _write_one(job: _Job) -> None:
    folder, population, seed, any_frame, camera, issuer, rescan, number, slot = job
    # Each patient has a seed of their own: no process depends on another.
    patient_seed = seed_patient(population, seed, number)
    whole = population in WHOLE
    wanted = SUSPICIOUS if population == "screening" else METASTASES
    frame = draw_frame(derive_rng(patient_seed, _FRAME)) if any_frame else None
    case = find_case(
        patient_seed,
        slot.diagnosis,
        slot.layout.views,
        wanted,
        frame,
        DEVICES[camera],
        whole=whole,
        burden=slot.burden,
    )
    if rescan:
        case = scan_case_again(case, rescan, wanted, whole=whole)
    stated = {"ManufacturerModelName": camera} if camera != _BEFORE["camera"] else {}
    stated |= {"IssuerOfPatientID": issuer} if issuer else {}
    stated |= date_study(rescan) if rescan else {}
    identity = (population, str(seed), str(number), *stated.values())
    write_patient(
        folder,
        _name(number),
        case,
        slot.layout,
        identity,
        stated,
        whole=whole,
    )


def _name(number: int) -> str:
    return f"P{number:04d}"
