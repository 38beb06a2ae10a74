"""The same simulated patients in four hospitals: three cameras, and JPEG pictures."""

import pathlib
import shutil

import numpy as np

from spectjax.system.files import format_csv, write_file

ISSUER = "Elsewhere"  # nobody whom a model of simulated patients has learned from
CAMERAS = ("usual", "fast", "coarse")
PICTURES = "pictures"
_QUALITY = 90


def write_hospitals(
    folder: pathlib.Path, patients: int, seed: int
) -> dict[str, pathlib.Path]:
    """Simulates the patients under each camera, and draws pictures of the last one."""
    from spectjax.phantom import write_phantom

    sources = {
        camera: write_phantom(
            folder / camera,
            patients=patients,
            seed=seed,
            population="screening",
            camera=camera,
            issuer=ISSUER,
        )
        for camera in CAMERAS
    }
    return sources | {PICTURES: write_pictures(sources[CAMERAS[-1]], folder / PICTURES)}


def write_pictures(source: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """Writes a phantom's views as 8-bit JPEG, the hottest pixel white.

    Its readers' files come along; images.csv is written last.
    """
    from PIL import Image

    from spectjax.imaging.dicom.reading import find_bone_scans

    if (folder / "images.csv").exists():
        return folder
    rows = []
    for scan in find_bone_scans([source / "dicom"])[0]:
        picture = folder / scan.view / f"{scan.path.stem}.jpg"
        picture.parent.mkdir(parents=True, exist_ok=True)
        grey = np.rint(255 * (scan.counts / scan.counts.max())).astype(np.uint8)
        Image.fromarray(grey).save(
            picture, quality=_QUALITY, comment="SYNTHETIC: simulated by spectjax"
        )
        assert scan.spacing_mm is not None
        file, patient = f"{scan.view}/{picture.name}", name_patient(scan.path.stem[:5])
        rows.append((file, patient, scan.view, "", scan.spacing_mm[0]))
    annotations = "annotations"
    shutil.copytree(source / annotations, folder / annotations, dirs_exist_ok=True)
    columns = ("file", "patient", "view", "label", "spacing_mm")
    write_file(folder / "images.csv", format_csv(columns, sorted(rows)))
    return folder


def name_patient(number: str) -> str:
    """Returns what images.csv calls a patient: nobody else has that ID."""
    return f"{ISSUER} {number}"


def list_patients(patients: int) -> dict[str, str]:
    """Returns the numbers of the patients by their pseudonyms, in files and tables."""
    from spectjax.imaging.identity import compute_pseudonym, fold_text, identify_by_id

    numbers = [f"P{number:04d}" for number in range(1, patients + 1)]
    return {
        key: number
        for number in numbers
        for key in (
            compute_pseudonym("id", fold_text(ISSUER), number),
            identify_by_id(name_patient(number)).patient,
        )
    }
