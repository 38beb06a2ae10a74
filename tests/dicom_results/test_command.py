"""`spectjax.predict --dicom_dir`, with a model whose answers are written down."""

import numpy as np
import pydicom
import pytest

from spectjax import predict
from spectjax.imaging.thorax import CropTransform, ThoraxImage
from spectjax.inference import asking
from spectjax.inference.trained import TrainedModel
from spectjax.system.messages import UserError
from tests.support.dicom_studies import BOX, CANVAS, WEIGHTS, write_study_file
from tests.support.picture_files import draw_body, save
from tests.support.tiny_scans import make_run

MARK = (slice(20, 24), slice(20, 26))


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """A finished run whose model marks a block; crops are as in `dicom_studies`."""

    def mark(counts):
        metastasis = np.zeros(counts.shape[:3], np.float32)
        metastasis[:, *MARK] = 0.875
        return np.stack([1 - metastasis, metastasis], axis=-1)

    def crop(scan):
        transform = CropTransform(BOX, scan.counts.shape, CANVAS)
        return ThoraxImage(
            transform.apply(scan.counts), scan, transform, None, (), None
        )

    monkeypatch.setattr(asking, "crop_thorax", crop)
    model = TrainedModel(mark, WEIGHTS, "segmentation", CANVAS)
    return make_run(tmp_path, monkeypatch, model)


def test_dicom_results_follow_the_json(workdir, tmp_path, capsys):
    folder = tmp_path / "scans"
    folder.mkdir()
    write_study_file(folder / "scan.dcm")
    out, results = tmp_path / "out", tmp_path / "results"
    predict.run([folder], workdirs=[workdir], output_dir=out, dicom_dir=results)
    assert "2 views written" in capsys.readouterr().out
    (study,) = results.iterdir()
    names = {path.name for path in study.iterdir()}
    assert names == {"seg_anterior.dcm", "seg_posterior.dcm", "sc.dcm", "sr.dcm"}
    seg = pydicom.dcmread(study / "seg_anterior.dcm")
    assert seg.pixel_array.sum() == 24
    assert (out / "scan_anterior.json").exists()


def test_a_picture_has_its_json_and_a_line_that_it_has_no_dicom(
    workdir, tmp_path, capsys
):
    picture = tmp_path / "scan.png"
    save(picture, draw_body())
    out, results = tmp_path / "out", tmp_path / "results"
    stated = predict.Stated(view="anterior", inverted=False)
    predict.run(
        [picture], workdirs=[workdir], output_dir=out, dicom_dir=results, stated=stated
    )
    assert "found a picture: no DICOM result is written" in capsys.readouterr().err
    assert list(out.glob("*.json")) and not results.exists()


@pytest.mark.parametrize("flag", ["pdf", "gsps", "dicom_clock"])
def test_what_is_about_results_needs_their_folder(tmp_path, flag):
    with pytest.raises(UserError, match=f"--{flag}: expected --dicom_dir"):
        predict.run([tmp_path], output_dir=tmp_path / "out", **{flag: True})


def test_results_do_not_go_among_the_scans(workdir, tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    with pytest.raises(UserError, match="expected a folder outside"):
        predict.run(
            [folder],
            workdirs=[workdir],
            output_dir=tmp_path / "out",
            dicom_dir=folder / "results",
        )
