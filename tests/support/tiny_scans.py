"""A view of a few pixels, its crop, what a model says of it, and how it is asked."""

import json
import pathlib

import numpy as np
import pytest

from spectjax import predict
from spectjax.imaging.outputs import OutputNames
from spectjax.imaging.problems import Problems
from spectjax.imaging.scan import BoneScan
from spectjax.imaging.thorax import CropTransform, ThoraxImage
from spectjax.inference import runtimes
from spectjax.inference.asking import predict_examinations

SMALL_CROP = pytest.mark.usefixtures("small_crop")
MODEL_INFO = {"model": "unet_res", "step": 7, "trained_on_regions": "whole_body"}


def make_scan(path="a/IM1.dcm", **changes):
    """A view of 12x6 pixels, pixel (row, column) holding 10 row + column counts."""
    row, column = np.mgrid[:12, :6]
    fields = {
        "counts": (10 * row + column).astype(np.float32),
        "view": "anterior",
        "view_evidence": "View Code Sequence",
        "spacing_mm": (2.5, 2.0),
        "path": pathlib.Path(path),
        "frame": 1,
        "patient_key": "0f" * 8,
        "patient_evidence": "Patient ID",
        "image_key": "ab" * 8,
        "synthetic": False,
    }
    return BoneScan(**(fields | changes))


def crop_stub(flags=()):
    """A crop of rows 3-9 and columns 1-5 to the middle of an 8x8 canvas."""

    def crop(scan):
        transform = CropTransform((3, 1, 9, 5), scan.counts.shape, (8, 8))
        counts = transform.apply(scan.counts)
        return ThoraxImage(counts, scan, transform, None, flags, None)

    return crop


def predict_probs(counts):
    """Sees hotspots in three pixels of the canvas and in its empty corner."""
    assert counts.shape == (1, 8, 8, 1)
    metastasis = np.zeros((1, 8, 8), np.float32)
    metastasis[0, 2, 3], metastasis[0, 2, 4], metastasis[0, 6, 5] = 0.75, 1, 0.625
    metastasis[0, 0, 0] = 1
    return np.stack([1 - metastasis, metastasis], axis=-1)


def ask(model, examinations, output_dir, **options):
    """How many views were written, and what was passed over."""
    files = [scan.path for scans in examinations for scan in scans]
    problems = Problems(output_dir)
    written = predict_examinations(
        examinations,
        lambda: model,
        names=OutputNames(files, output_dir, mark=predict.MARK),
        output_dir=output_dir,
        problems=problems,
        **options,
    )
    return written, problems.refused, problems.unexpected


def make_run(tmp_path, monkeypatch, model):
    """The folder of a run that `model` came out of."""
    monkeypatch.setattr(runtimes, "load_run", lambda _: model)
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return folder


def read_json(path):
    return json.loads(path.read_text())
