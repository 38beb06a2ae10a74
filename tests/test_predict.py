"""Tests of `spectjax.predict`, with a model whose answers are written down."""

import dataclasses
import errno
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from pydicom.data import get_testdata_file
from scipy import ndimage

from spectjax import predict
from spectjax.imaging.dicom.reading import find_bone_scans
from spectjax.imaging.hotspots import decode_rle
from spectjax.imaging.listed.found import Stated
from spectjax.imaging.outputs import OutputNames
from spectjax.imaging.thorax import CropError, crop_thorax
from spectjax.inference import asking, runtimes
from spectjax.inference.card import write_card
from spectjax.inference.metadata import ModelFileError
from spectjax.inference.trained import TrainedModel
from spectjax.report import picture_parts
from spectjax.system.files import WriteError
from tests.support.model_files import SCALE, make_metadata, write_stablehlo
from tests.support.nm_files import detectors, write_nm
from tests.support.page_files import Page
from tests.support.thorax_pictures import HW, write_weak_view
from tests.support.tiny_scans import (
    MODEL_INFO,
    SMALL_CROP,
    ask,
    crop_stub,
    make_run,
    make_scan,
    predict_probs,
    read_json,
)


def name_views(scans, output_dir):
    files = [scan.path for scan in scans]
    names = OutputNames(files, output_dir, mark=predict.MARK)
    return [names.choose(scan) for scan in scans]


def predict_views(scans, output_dir):
    model = TrainedModel(predict_probs, MODEL_INFO, "segmentation", (8, 8))
    return ask(model, [scans], output_dir)


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """A finished run whose model marks the middle of the canvas."""

    def mark_middle(counts):
        metastasis = np.zeros(counts.shape[:3], np.float32)
        metastasis[:, 126:130, 124:132] = 0.875
        return np.stack([1 - metastasis, metastasis], axis=-1)

    model = TrainedModel(mark_middle, MODEL_INFO, "segmentation", (256, 256))
    return make_run(tmp_path, monkeypatch, model)


@SMALL_CROP
def test_predict_writes_what_was_found(tmp_path):
    assert predict_views([make_scan()], tmp_path) == (1, 0, 0)
    document = read_json(tmp_path / "IM1_anterior.json")
    # Rows 1 and 5 of the crop are canvas rows 2 and 6 and frame rows 4 and 8.
    pair, single = document["hotspots"]
    assert pair["category"] == "metastasis"
    assert (pair["score"], pair["max_probability"]) == (0.875, 1)
    assert (single["score"], single["max_probability"]) == (0.625, 0.625)
    assert pair["thorax"]["box"] == [2, 3, 3, 5]
    assert pair["whole_body"]["box"] == [4, 2, 5, 4]
    assert (pair["area_px"], pair["area_mm2"]) == (2, 10.0)
    assert (pair["counts"], pair["max_counts"]) == (42 + 43, 43)
    assert (single["counts"], single["max_counts"]) == (84, 84)


@SMALL_CROP
def test_predict_writes_masks_of_thorax_and_whole_body(tmp_path):
    predict_views([make_scan()], tmp_path)
    pair = read_json(tmp_path / "IM1_anterior.json")["hotspots"][0]
    thorax = decode_rle(pair["thorax"]["mask"])
    whole_body = decode_rle(pair["whole_body"]["mask"])
    assert (thorax.shape, whole_body.shape) == ((8, 8), (12, 6))
    assert np.argwhere(thorax).tolist() == [[2, 3], [2, 4]]
    assert np.argwhere(whole_body).tolist() == [[4, 2], [4, 3]]


@SMALL_CROP
def test_predict_tells_where_everything_comes_from(tmp_path):
    predict_views([make_scan("secret/IM1.dcm")], tmp_path)
    text = (tmp_path / "IM1_anterior.json").read_text()
    document = json.loads(text)
    assert document["source"]["file"] == "IM1.dcm"
    assert document["source"]["view_evidence"] == "View Code Sequence"
    assert document["model"] == MODEL_INFO
    assert document["crop"]["box"] == [3, 1, 9, 5]
    assert "not a medical device" in document["disclaimer"]
    assert "secret" not in text


@SMALL_CROP
def test_predict_leaves_the_area_open_without_a_spacing(tmp_path):
    predict_views([make_scan(spacing_mm=None)], tmp_path)
    pair = read_json(tmp_path / "IM1_anterior.json")["hotspots"][0]
    assert (pair["area_px"], pair["area_mm2"]) == (2, None)


@SMALL_CROP
def test_predict_uses_a_doubted_crop_and_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(asking, "crop_thorax", crop_stub(("no neck",)))
    predict_views([make_scan()], tmp_path)
    assert read_json(tmp_path / "IM1_anterior.json")["crop"]["flags"] == ["no neck"]
    assert "CROP FLAGGED: no neck" in capsys.readouterr().out


@SMALL_CROP
def test_predict_passes_over_a_scan_without_thorax(tmp_path, monkeypatch, capsys):
    def refuse(scan):
        if scan.view == "posterior":
            raise CropError(f"{scan.path}: no body")
        return crop_stub()(scan)

    monkeypatch.setattr(asking, "crop_thorax", refuse)
    scans = [make_scan(view="posterior"), make_scan(image_key="cd" * 8)]
    assert predict_views(scans, tmp_path) == (1, 1, 0)
    assert sorted(os.listdir(tmp_path)) == ["IM1_anterior.json", "IM1_anterior.png"]
    assert capsys.readouterr().err == "skipped: a/IM1.dcm: no body\n"


@SMALL_CROP
def test_a_model_that_fails_ends_the_command_at_the_first_scan(tmp_path):
    asked = []

    def fail(counts):
        asked.append(counts)
        raise ModelFileError("model.onnx: took more than 120 s and was ended")

    scans = [make_scan(f"{n}.dcm", image_key=f"{n}" * 16) for n in range(3)]
    model = TrainedModel(fail, MODEL_INFO, "segmentation", (8, 8))
    with pytest.raises(ModelFileError, match="took more than 120 s"):
        ask(model, [[scan] for scan in scans], tmp_path)
    assert len(asked) == 1


@SMALL_CROP
def test_predict_on_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch):
    def refuse(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(WriteError, match=r"IM1_anterior\.png: .*No space left"):
        predict_views([make_scan()], tmp_path)
    assert os.listdir(tmp_path) == []


@SMALL_CROP
def test_a_name_tells_apart_what_folders_call_alike(tmp_path):
    scans = [
        make_scan("a/IM1.dcm", image_key="1" * 16),
        make_scan("b/im1.dcm", image_key="2" * 16),
        make_scan("b/IM2.dcm", image_key="3" * 16),
    ]
    names = name_views(scans, tmp_path)
    assert names == [f"IM1_anterior_{'1' * 16}", f"im1_anterior_{'2' * 16}"] + [
        "IM2_anterior"
    ]
    assert name_views(scans[::-1], tmp_path) == names[::-1]


@SMALL_CROP
def test_a_name_keeps_another_scans_result(tmp_path):
    predict_views([make_scan(image_key="1" * 16)], tmp_path)
    same, other = make_scan(image_key="1" * 16), make_scan(image_key="2" * 16)
    assert name_views([same], tmp_path) == ["IM1_anterior"]
    assert name_views([other], tmp_path) == [f"IM1_anterior_{'2' * 16}"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"source": 3}'])
@SMALL_CROP
def test_a_name_keeps_a_file_that_is_not_ours(tmp_path, text):
    (tmp_path / "IM1_anterior.json").write_text(text)
    assert name_views([make_scan()], tmp_path) == ["IM1_anterior_" + "ab" * 8]


def test_run_finds_hotspots_in_a_real_scan(workdir, tmp_path, capsys):
    folder = tmp_path / "scans" / "deep"
    folder.mkdir(parents=True)
    shutil.copy(get_testdata_file("JPEG2000.dcm"), folder / "NM1.dcm")
    (folder / "broken.dcm").write_bytes(b"no DICOM file")
    shutil.copy(get_testdata_file("CT_small.dcm"), folder / "CT.dcm")
    output_dir = tmp_path / "out"

    predict.run([tmp_path / "scans"], workdirs=[workdir], output_dir=output_dir)

    assert sorted(os.listdir(output_dir)) == ["NM1_anterior.json", "NM1_anterior.png"]
    (hotspot,) = read_json(output_dir / "NM1_anterior.json")["hotspots"]
    assert (hotspot["area_px"], hotspot["score"]) == (32, 0.875)
    assert hotspot["area_mm2"] == pytest.approx(32 * 2.26 * 2.26)
    out, err = capsys.readouterr()
    assert f"1 views written to {output_dir}, 2 files skipped." in out
    assert len(err.splitlines()) == 2
    assert "CT.dcm" in err and "broken.dcm" in err


@SMALL_CROP
def test_the_name_of_a_model_that_ships_stands_in_every_output(
    tmp_path, monkeypatch, capsys
):
    info = MODEL_INFO | {"name": "unet_res-0", "trained_on_synthetic_data": True}
    model = TrainedModel(predict_probs, info, "segmentation", (8, 8))
    monkeypatch.setattr(runtimes, "load_ready", lambda folder: model)
    path = tmp_path / "IM1.dcm"
    write_nm(
        path,
        np.arange(12 * 6, dtype=np.uint16).reshape(1, 12, 6),
        DetectorInformationSequence=detectors("anterior"),
    )
    predict.run([path], output_dir=tmp_path / "out")
    said = "trained on simulated patients alone."
    assert f"Model unet_res-0, {said}" in capsys.readouterr().out.splitlines()
    document = read_json(tmp_path / "out" / "IM1_anterior.json")
    assert document["model"]["name"] == "unet_res-0"
    assert f"The model unet_res-0 was {said}" in document["warnings"]


def test_without_an_output_dir_results_lie_where_the_user_is(tmp_path):
    shutil.copy(get_testdata_file("CT_small.dcm"), tmp_path / "CT.dcm")
    command = [sys.executable, "-m", "spectjax.predict", "CT.dcm"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert "0 views written to predictions, 1 files skipped" in result.stderr
    assert os.listdir(tmp_path) == ["CT.dcm"]  # nothing to write: no folder


def test_about_prints_the_card_without_jax():
    code = (
        "import sys; sys.argv = ['predict', '--about']\n"
        "import runpy; runpy.run_module('spectjax.predict', run_name='__main__')\n"
        "sys.exit('jax' in sys.modules)\n"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout == write_card() + "\n"


@SMALL_CROP
def test_run_keeps_files_of_one_name_apart_and_patients_unnamed(tmp_path, monkeypatch):
    model = TrainedModel(predict_probs, MODEL_INFO, "segmentation", (8, 8))
    workdir = make_run(tmp_path, monkeypatch, model)
    frames = np.arange(2 * 12 * 6, dtype=np.uint16).reshape(2, 12, 6)
    views = detectors("posterior", "anterior")
    for folder in ("a", "b"):
        path = tmp_path / "scans" / folder / "IM1.dcm"
        path.parent.mkdir(parents=True)
        write_nm(path, frames, DetectorInformationSequence=views)
    output_dir = tmp_path / "out"

    predict.run([tmp_path / "scans"], workdirs=[workdir], output_dir=output_dir)

    documents = [read_json(path) for path in output_dir.glob("*.json")]
    found = sorted((d["source"]["view"], d["source"]["frame"]) for d in documents)
    assert found == [("anterior", 1)] * 2 + [("posterior", 0)] * 2
    assert len(list(output_dir.glob("*.png"))) == 4
    written = b"".join(path.read_bytes() for path in output_dir.iterdir())
    assert b"Secret" not in written and b"4711" not in written


def test_run_takes_the_users_word_for_the_view(workdir, tmp_path):
    path = get_testdata_file("JPEG2000.dcm")
    predict.run(
        [path], workdirs=[workdir], output_dir=tmp_path, stated=Stated("posterior")
    )
    source = read_json(tmp_path / "JPEG2000_posterior.json")["source"]
    assert source["view"] == "posterior"
    assert "user" in source["view_evidence"]


def test_run_tells_everywhere_of_a_weak_view_and_of_images_unlike_the_models(
    tmp_path, monkeypatch, capsys
):
    """A thorax by the user's word, of pixels twice those of the model's halves."""
    drawn, seen = [], []

    def see(counts):
        seen.append(counts)
        answer = np.zeros((*counts.shape[:3], 2), np.float32)
        answer[..., 0] = 1
        return answer

    info = MODEL_INFO | {"trained_on_regions": "chest_half"}
    model = TrainedModel(see, info, "segmentation", (256, 256), pixel_mm=2.4)
    workdir = make_run(tmp_path, monkeypatch, model)
    save = picture_parts.save_figure
    monkeypatch.setattr(
        picture_parts,
        "save_figure",
        lambda figure, path: (drawn.append(figure), save(figure, path)),
    )
    predict.run(
        [write_weak_view(tmp_path / "a.dcm")],
        workdirs=[workdir],
        output_dir=tmp_path / "out",
        stated=Stated(region="thorax"),
    )
    document = read_json(next((tmp_path / "out").glob("*.json")))
    assert document["crop"]["box"] == [0, 0, *HW]
    assert document["source"]["region"] == "thorax"
    # Of 120 rows, 240 on the same canvas.
    rows = np.flatnonzero(seen[0][0, ..., 0].any(axis=1))
    assert 200 < rows[-1] - rows[0] < 240
    words = " ".join(text.get_text() for text in drawn[0].texts)
    told = (capsys.readouterr().out, " ".join(document["warnings"]), words)
    for where in told:
        assert "by weak evidence: only the detector's start angle" in where
        assert "resampled, 2.00 times as large" in where
        assert "the model learned from chest halves alone, this is a thorax" in where


@SMALL_CROP
def test_predict_tells_once_that_nobody_knows_what_a_model_learned_from(
    tmp_path, capsys
):
    model = TrainedModel(predict_probs, {"model": "old"}, "segmentation", (8, 8))
    scans = [make_scan(f"{n}.dcm", image_key=f"{n}" * 16) for n in range(2)]
    assert ask(model, [[scan] for scan in scans], tmp_path) == (2, 0, 0)
    assert capsys.readouterr().err.count("NOT checked of the model: whether it") == 1
    predict_views(scans, tmp_path)
    assert capsys.readouterr().err == ""


@SMALL_CROP
def test_run_heeds_a_table_of_crops(workdir, tmp_path, monkeypatch, capsys):
    """The decision reaches the crop; what came of it stands in document and line."""

    def crop(scan):
        made = scan.crop_decision
        by_hand = "accepted by hand" if made and made.accepted else ""
        return dataclasses.replace(
            crop_stub()(scan), by_hand=by_hand, overruled=("no neck",)
        )

    monkeypatch.setattr(asking, "crop_thorax", crop)
    path = get_testdata_file("JPEG2000.dcm")
    table = tmp_path / "crops.csv"
    file = os.path.relpath(path, tmp_path)
    table.write_text(f"file,accept_crop\n{file},yes\n")
    out = tmp_path / "out"
    predict.run([path], workdirs=[workdir], output_dir=out, crops=table, html=True)
    document = read_json(out / "JPEG2000_anterior.json")
    (view,) = Page(out / "pages" / "JPEG2000_anterior.html").read_data()["views"]
    assert view["document"] == document
    assert document["crop"]["decision"] == "accepted by hand"
    assert document["crop"]["overruled_flags"] == ["no neck"]
    said = "crop accepted by hand (crops.csv, row 2), though flagged: no neck"
    assert f"Note: {said}." in document["warnings"]
    assert said in capsys.readouterr().out
    predict.run([path], workdirs=[workdir], output_dir=out)
    assert read_json(out / "JPEG2000_anterior.json")["crop"]["decision"] is None
    table.write_text(f"file,accept_crop\n{file},perhaps\n")
    with pytest.raises(ValueError, match=r"crops\.csv: row 2: expected yes or no"):
        predict.run([path], workdirs=[workdir], output_dir=out, crops=table)


def test_run_without_a_usable_scan_is_an_error(workdir, tmp_path, capsys):
    path = tmp_path / "broken.dcm"
    path.write_bytes(b"no DICOM file")
    with pytest.raises(ValueError, match="0 views written to .*, 1 files skipped"):
        predict.run([path], workdirs=[workdir], output_dir=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert "broken.dcm" in capsys.readouterr().err


def test_run_without_a_trained_model_says_to_train_first(tmp_path):
    with pytest.raises(ValueError, match="Train first: python -m spectjax.main"):
        predict.run([tmp_path], workdirs=[tmp_path / "none"], output_dir=tmp_path)


def test_run_without_paths_asks_for_them(workdir, tmp_path):
    with pytest.raises(ValueError, match="found none"):
        predict.run([], workdirs=[workdir], output_dir=tmp_path)


def test_run_takes_an_exported_model(tmp_path):
    path = get_testdata_file("JPEG2000.dcm")
    model = tmp_path / "model.stablehlo.zip"
    write_stablehlo(model, make_metadata((256, 256)), (256, 256))
    predict.run([path], model=model, output_dir=tmp_path)
    document = read_json(tmp_path / "JPEG2000_anterior.json")
    # That model's probability is counts / SCALE.
    counts = crop_thorax(find_bone_scans([path])[0][0]).counts
    _, n_regions = ndimage.label(counts > SCALE / 2, np.ones((3, 3)))
    assert len(document["hotspots"]) == n_regions > 0
    areas = [hotspot["area_px"] for hotspot in document["hotspots"]]
    assert sum(areas) == (counts > SCALE / 2).sum()
    assert document["model"]["model"] == "by_hand"
    assert document["model"]["runtime"].startswith("jax ")


def test_run_refuses_two_models(workdir, tmp_path):
    with pytest.raises(ValueError, match="--workdir=RUN.*--model=FILE.*found both"):
        predict.run([tmp_path], workdirs=[workdir], model=workdir, output_dir=tmp_path)


def test_command_with_a_model_that_is_none_says_so_in_one_line(tmp_path):
    command = [sys.executable, "-m", "spectjax.predict", "--runtime=openvino"]
    command += [f"--output_dir={tmp_path}", f"--model={tmp_path}/a.onnx", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: {tmp_path}/a.onnx: expected a model file")
    assert len(result.stderr.splitlines()) == 1


def test_help_need_not_wait_for_jax():
    code = "import sys, spectjax.predict; sys.exit('jax' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
