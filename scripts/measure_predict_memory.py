"""Measures the memory that `predict` takes for few and for many views.

    python scripts/measure_predict_memory.py --views=100 --views=2000 --nopictures

Simulates one patient, copies the file under as many names, patients and studies as are
asked for (half a MB each), and predicts each folder in a process of its own with a
model that marks the middle of every image. Prints the peak of each process. With
pictures a view takes about a second, without a tenth of it.
"""

import contextlib
import dataclasses
import multiprocessing
import os
import resource
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pydicom
from absl import flags

from spectjax import predict
from spectjax.imaging.dicom.reading import read_bone_scans
from spectjax.imaging.intake import Intake
from spectjax.imaging.outputs import OutputNames
from spectjax.imaging.problems import Problems
from spectjax.inference.asking import predict_examinations
from spectjax.inference.trained import TrainedModel
from spectjax.phantom import write_phantom
from spectjax.system.commands import run_command

_VIEWS = flags.DEFINE_multi_integer("views", [100, 2000], "Views of each measurement.")
_PICTURES = flags.DEFINE_bool("pictures", True, "Draw the pictures as well.")


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What one process took.

    Attributes:
        views: number of views written.
        before_mib: peak before the first scan was read.
        peak_mib: peak at the end.
    """

    views: int
    before_mib: float
    peak_mib: float


def copy_patient(file: Path, folder: Path, count: int) -> None:
    """Writes a file `count` times, each time as the only one of another patient."""
    folder.mkdir()
    dataset = pydicom.dcmread(file)
    for number in range(count):
        dataset.PatientID = f"SYNTHETIC {number}"
        dataset.PatientName = f"SYNTHETIC^{number}"
        dataset.StudyInstanceUID = f"1.2.826.0.1.3680043.10.3.{number}"
        dataset.SOPInstanceUID = f"1.2.826.0.1.3680043.10.4.{number}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.save_as(folder / f"{number}.dcm", enforce_file_format=True)


def mark_middle(counts: np.ndarray) -> np.ndarray:
    """Returns probabilities (N, H, W, 2) of a model that marks 32 pixels."""
    metastasis = np.zeros(counts.shape[:3], np.float32)
    metastasis[:, 126:130, 124:132] = 0.875
    return np.stack([1 - metastasis, metastasis], axis=-1)


def measure(folder: Path, output_dir: Path, pictures: bool) -> Measurement:
    """Predicts a folder and says what that took; for a process of its own."""
    from spectjax.tasks.views import Finding

    if not pictures:
        Finding.save_picture = lambda self, path: None  # type: ignore[method-assign]
    model = TrainedModel(mark_middle, {"model": "middle"}, "segmentation", (256, 256))
    before = _read_peak()
    problems = Problems(output_dir)
    intake = Intake([folder], problems)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        written = predict_examinations(
            intake.read_examinations(),
            lambda: model,
            names=OutputNames(intake.files, output_dir, mark=predict.MARK),
            output_dir=output_dir,
            problems=problems,
        )
    return Measurement(written, before, _read_peak())


def measure_apart(file: Path, views: int, pictures: bool) -> Measurement:
    """Measures in a new process, whose memory nothing else has filled."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "scans")
        copy_patient(file, folder, views // len(read_bone_scans(file)))
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, context) as pool:
            out = Path(scratch, "out")
            return pool.submit(measure, folder, out, pictures).result()


def _read_peak() -> float:
    """Returns the peak of this process's memory in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def main(_: list[str]) -> None:
    """Measures what the flags ask for."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = write_phantom(Path(scratch, "phantom"), patients=1, seed=3)
        file = min(folder.rglob("*.dcm"))
        for views in _VIEWS.value:
            found = measure_apart(file, views, _PICTURES.value)
            print(
                f"{found.views:5} views: {found.peak_mib:.0f} MiB at the peak, "
                f"{found.before_mib:.0f} MiB before the first",
                flush=True,
            )


if __name__ == "__main__":
    run_command(main)
