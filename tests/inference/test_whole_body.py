"""A model that looks at whole bodies is shown the frame, and says nothing of a crop."""

import dataclasses
import types

import numpy as np
import pytest

from spectjax import predict
from spectjax.imaging.canvas import FRAME_HW, WHOLE_FRAME
from spectjax.imaging.hotspots import decode_rle
from spectjax.imaging.scan import ScanError
from spectjax.imaging.thorax.frame import keep_frame
from spectjax.inference import external, runtimes
from spectjax.inference.asking import show_to
from spectjax.inference.metadata import ModelFileError, find_input_hw, make_metadata
from spectjax.inference.ready import WHOLE_BODY
from spectjax.inference.regions import LEARNED, add_regions, describe_mismatch
from spectjax.inference.runtimes import find_model
from spectjax.inference.trained import TrainedModel
from spectjax.recipes import unet_config
from spectjax.system.messages import UserError
from tests.support.examples import make_examples
from tests.support.nm_files import detectors, write_nm
from tests.support.tiny_scans import make_scan, read_json

HW = (800, 200)
CORNER = (112, 28)  # of such a frame in the middle of the canvas
INFO = {"name": "unet_res-0", "model": "unet_res", LEARNED: WHOLE_FRAME}


def mark(counts):
    """Sees a hotspot in the foot, at rows 790-793 and columns 10-14 of the frame."""
    assert counts.shape == (1, *FRAME_HW, 1)
    hot = np.zeros((1, *FRAME_HW), np.float32)
    y, x = CORNER
    hot[:, y + 790 : y + 794, x + 10 : x + 15] = 0.875
    hot[:, 0, 0] = 1  # where there is nothing of the frame
    return np.stack([1 - hot, hot], axis=-1)


MODEL = TrainedModel(mark, INFO, "segmentation", FRAME_HW)


@pytest.fixture
def body():
    counts = np.random.default_rng(0).poisson(5, HW).astype(np.float32)
    return make_scan(counts=counts, spacing_mm=(2.3, 2.3))


def test_a_frame_lies_in_the_middle_of_its_canvas_and_is_not_changed(body):
    whole = keep_frame(body)
    assert whole.counts.shape == FRAME_HW
    assert np.array_equal(whole.counts[112:912, 28:228], body.counts)
    assert whole.counts.sum() == body.counts.sum()
    assert (whole.transform.box, whole.transform.corner) == ((0, 0, *HW), CORNER)
    assert (whole.region, whole.flags, whole.doubts) == (WHOLE_FRAME, (), ())


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"region": "thorax"}, "found a thorax by a person's word"),
        ({"counts": np.ones((1200, 200), np.float32)}, "none such in a frame of 1200x"),
        ({"counts": np.ones((800, 400), np.float32)}, "none such in a frame of 800x"),
        ({"spacing_mm": (2.3, 4.6)}, "2.3x4.6 mm, which are not square"),
    ],
)
def test_what_is_no_whole_body_is_refused_with_the_reason(body, changes, found):
    with pytest.raises(ScanError, match=found):
        show_to(MODEL, dataclasses.replace(body, **changes), "a")


def test_of_a_larger_frame_the_model_sees_what_lies_around_the_body(body):
    wide = np.zeros((1152, 512), np.float32)
    wide[180:980, 290:490] = body.counts
    seen = show_to(MODEL, dataclasses.replace(body, counts=wide), "a")
    assert seen.thorax.transform.box == (68, 256, 1092, 512)
    assert seen.counts.sum() == body.counts.sum()
    (note,) = seen.input_notes
    assert note.startswith("of a frame of 1152x512 pixels the model sees what lies")


def test_predict_tells_of_the_frame_and_of_no_thorax(tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(runtimes, "load_ready", lambda f: asked.append(f) or MODEL)
    monkeypatch.setattr(runtimes, "read_document", asked.append)
    frame = np.random.default_rng(1).poisson(5, (1, *HW)).astype(np.uint16)
    detector = {
        "DetectorInformationSequence": detectors("anterior"),
        "PixelSpacing": [2.3, 2.3],
    }
    write_nm(tmp_path / "IM1.dcm", frame, **detector)
    out = tmp_path / "out"
    predict.run([tmp_path / "IM1.dcm"], output_dir=out, whole_body=True, html=True)
    assert asked == [WHOLE_BODY, WHOLE_BODY]
    document = read_json(out / "IM1_anterior.json")
    assert document["crop"]["box"] == [0, 0, *HW]
    assert document["crop"]["canvas_hw"] == list(FRAME_HW)
    assert not document["crop_in_doubt"] and not document["crop"]["flags"]
    (hotspot,) = document["hotspots"]
    assert "thorax" not in hotspot
    assert hotspot["whole_body"]["box"] == [790, 10, 794, 15]
    assert np.argwhere(decode_rle(hotspot["whole_body"]["mask"])).sum() == 20 * 803.5
    assert (hotspot["area_px"], hotspot["counts"]) == (
        20,
        frame[0, 790:794, 10:15].sum(),
    )
    assert "hotspots: 1" in capsys.readouterr().out
    assert (out / "pages" / "IM1_anterior.html").exists()


def test_other_models_know_themselves_what_they_look_at(tmp_path):
    for given in ({"workdirs": [tmp_path]}, {"workdirs": [], "file": tmp_path / "a"}):
        with pytest.raises(ModelFileError, match="Leave --whole_body out"):
            find_model(runtime=None, whole_body=True, **{"file": None} | given)


def test_a_run_on_whole_frames_says_that_it_takes_them():
    config = unet_config("whole_body", "unet_res").to_dict()
    config["data"]["name"] += "_phantom"
    assert find_input_hw(config) == FRAME_HW
    tells = make_metadata(config, {}, parameters_sha256="")["input"]
    assert tells["shape"] == ["B", *FRAME_HW, 1] and "keep_frame" in tells["crop"]
    info = add_regions({"model": "unet_res"}, config)
    assert info[LEARNED] == WHOLE_FRAME
    assert describe_mismatch(info, WHOLE_FRAME) == ""
    said = "learned from whole bodies alone, this is a thorax"
    assert said in describe_mismatch(info, "thorax")
    learned = {LEARNED: "whole_body"}  # a thorax that was cropped out of one
    assert "thoraxes alone, this is a whole body" in describe_mismatch(
        learned, WHOLE_FRAME
    )


def test_what_an_enlarged_frame_loses_is_told(body):
    model = dataclasses.replace(MODEL, pixel_mm=2.3, predict=predict_nothing)
    seen = show_to(model, dataclasses.replace(body, spacing_mm=(4.6, 4.6)), "a")
    assert seen.zoom == 2
    assert "sees 512x128 pixels of a crop of 800x200" in seen.input_notes[-1]


def predict_nothing(counts):
    return np.stack([np.ones_like(counts[..., 0]), np.zeros_like(counts[..., 0])], -1)


@pytest.mark.parametrize(
    ("hw", "model_hw", "found"),
    [
        (FRAME_HW, (256, 256), "expected thoraxes, which a takes, found whole frames"),
        ((256, 256), FRAME_HW, "expected whole frames, which a takes, found thoraxes"),
    ],
)
def test_a_model_is_not_scored_on_images_of_another_kind(
    monkeypatch, hw, model_hw, found
):
    examples = make_examples(2, hw)
    monkeypatch.setattr(external.input_pipeline, "load_examples", lambda *_: examples)
    model = dataclasses.replace(MODEL, input_hw=model_hw)
    candidate = types.SimpleNamespace(name="a", model=model, configs=[])
    with pytest.raises(UserError, match=found):
        external.load_scored("data", ["fold0"], [candidate], {})
