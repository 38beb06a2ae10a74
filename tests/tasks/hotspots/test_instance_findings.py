"""Tests of `spectjax.tasks.hotspots.instance_findings`, with answers by hand."""

import numpy as np
import pytest
from matplotlib.image import imread
from pydicom.data import get_testdata_file

from spectjax import predict
from spectjax.imaging.hotspots import Instances, decode_rle
from spectjax.inference.trained import TrainedModel
from spectjax.tasks.hotspots.instance_hotspots import select_hotspots
from tests.support.model_files import write_instances
from tests.support.tiny_scans import MODEL_INFO, SMALL_CROP, ask, make_scan, read_json

HW = (8, 8)
# Of the canvas, rows 1-7 and columns 2-6 show the patient: rows 3-9 and columns 1-5 of
# the frame. Score, box, and pixels.
ANSWERS = [
    (0.75, (1.5, 2.25, 3.5, 5.5), [(2, 3), (2, 4), (3, 4)]),
    (0.625, (0.0, 3.5, 3.0, 8.0), [(0, 4), (2, 4), (2, 7)]),  # leaves the patient
    (0.5625, (0.0, 0.0, 1.0, 8.0), [(0, 0), (0, 7)]),  # shows no patient
    (0.53125, (3.0, 3.0, 4.0, 4.0), []),  # without a pixel
    (0.5, (4.0, 4.0, 5.0, 5.0), [(4, 4)]),  # not above 0.5
]


def make_answer(answers=ANSWERS, valid=None, label=1):
    n = len(answers)
    masks = np.zeros((1, n, *HW), bool)
    for k, (_, _, pixels) in enumerate(answers):
        for row, column in pixels:
            masks[0, k, row, column] = True
    return Instances(
        boxes=np.float32([[box for _, box, _ in answers]]).reshape(1, n, 4),
        scores=np.float32([[score for score, _, _ in answers]]),
        labels=np.full((1, n), label, np.int32),
        valid=np.ones((1, n), bool) if valid is None else np.array([valid]),
        masks=masks,
    )


def predict_views(scans, output_dir, answer=None, **options):
    def predict_instances(counts):
        assert counts.shape == (1, *HW, 1)
        return make_answer() if answer is None else answer

    model = TrainedModel(predict_instances, MODEL_INFO, "instance_segmentation", HW)
    return ask(model, [scans], output_dir, **options)


@SMALL_CROP
def test_predict_writes_the_instances(tmp_path, capsys):
    assert predict_views([make_scan()], tmp_path) == (1, 0, 0)
    document = read_json(tmp_path / "IM1_anterior.json")
    first, second = document["hotspots"]
    assert (first["category"], first["score"]) == ("metastasis", 0.75)
    # The network's own box, and rows and columns 2 more and 1 less in the frame.
    assert first["thorax"]["box"] == [1.5, 2.25, 3.5, 5.5]
    assert first["whole_body"]["box"] == [3.5, 1.25, 5.5, 4.5]
    assert (first["area_px"], first["area_mm2"]) == (3, 15.0)
    # Pixels (4, 2), (4, 3) and (5, 3) of the frame, 10 row + column counts.
    assert (first["counts"], first["max_counts"]) == (42 + 43 + 53, 53)
    mask = decode_rle(first["whole_body"]["mask"])
    assert np.argwhere(mask).tolist() == [[4, 2], [4, 3], [5, 3]]
    assert "max_probability" not in first
    assert document["rule"].startswith("instances whose score exceeds 0.5; ")
    assert "hotspots: 2" in capsys.readouterr().out
    # What lies outside of the patient is cut off, of the box as well.
    assert second["thorax"]["box"] == [1.0, 3.5, 3.0, 6.0]
    assert second["whole_body"]["box"] == [3.0, 2.5, 5.0, 5.0]
    assert np.argwhere(decode_rle(second["thorax"]["mask"])).tolist() == [[2, 4]]
    assert imread(tmp_path / "IM1_anterior.png").std() > 0


@SMALL_CROP
def test_predict_scans_says_so_if_there_is_no_instance(tmp_path, capsys):
    predict_views([make_scan()], tmp_path, make_answer(valid=[False] * 5))
    assert read_json(tmp_path / "IM1_anterior.json")["hotspots"] == []
    assert "hotspots: 0" in capsys.readouterr().out


@SMALL_CROP
def test_predict_scans_leaves_the_area_open_without_a_spacing(tmp_path):
    predict_views([make_scan(spacing_mm=None)], tmp_path)
    first, _ = read_json(tmp_path / "IM1_anterior.json")["hotspots"]
    assert (first["area_px"], first["area_mm2"]) == (3, None)


@SMALL_CROP
def test_predict_scans_asks_for_the_score_that_the_user_wants(tmp_path):
    predict_views([make_scan()], tmp_path, min_score=0.7)
    document = read_json(tmp_path / "IM1_anterior.json")
    assert [each["score"] for each in document["hotspots"]] == [0.75]
    assert document["rule"].startswith("instances whose score exceeds 0.7; ")
    predict_views([make_scan()], tmp_path / "low", min_score=0.25)
    document = read_json(tmp_path / "low" / "IM1_anterior.json")
    assert [each["score"] for each in document["hotspots"]] == [0.75, 0.625, 0.5]


def test_predict_scans_refuses_a_score_where_there_are_no_instances(tmp_path):
    model = TrainedModel(None, MODEL_INFO, "segmentation", HW)
    with pytest.raises(ValueError, match=r"--min_score=0.3: expected .* segmentation"):
        ask(model, [[make_scan()]], tmp_path, min_score=0.3)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("min_score", [0.0, 1.0, 30, float("nan")])
def test_run_refuses_what_is_no_score(tmp_path, min_score):
    with pytest.raises(ValueError, match="expected a score above 0 and below 1"):
        predict.run([tmp_path], output_dir=tmp_path, min_score=min_score)


def select(answer, patient=None):
    one = Instances(*(each[0] for each in answer))
    return select_hotspots(one, np.ones(HW, bool) if patient is None else patient)


def test_select_hotspots_is_the_rule_of_the_scores():
    # On the map that these instances paint, pixels above 0.5 are hotspot.
    found = select(make_answer())
    assert [hotspot.score for hotspot in found] == [0.75, 0.625, 0.5625]
    assert found[2].mask.sum() == 2


def test_select_hotspots_passes_over_rows_that_fill_up():
    found = select(make_answer(valid=[False, True, False, True, True]))
    assert [hotspot.score for hotspot in found] == [0.625]


def test_select_hotspots_orders_by_score_then_area():
    equal = [(0.75, box, pixels) for _, box, pixels in ANSWERS[:3]]
    found = select(make_answer(equal[::-1]))
    areas = [int(hotspot.mask.sum()) for hotspot in found]
    assert areas == [3, 3, 2]
    assert [hotspot.box[0] for hotspot in found] == [0.0, 1.5, 0.0]


@pytest.mark.parametrize("field", ["scores", "boxes"])
def test_select_hotspots_refuses_what_is_not_finite(field):
    answer = make_answer()
    getattr(answer, field)[0, 1] = np.nan
    with pytest.raises(ValueError, match="not finite. Its parameters have probably"):
        select(answer)


def test_select_hotspots_refuses_masks_of_another_size():
    with pytest.raises(ValueError, match=r"masks of \(4, 4\) pixels, the model gave"):
        select(make_answer(), np.ones((4, 4), bool))


def test_run_takes_an_exported_model(tmp_path):
    path = tmp_path / "model.stablehlo.zip"
    write_instances(path, (256, 256))
    scan = get_testdata_file("JPEG2000.dcm")
    predict.run([scan], model=path, output_dir=tmp_path)
    document = read_json(tmp_path / "JPEG2000_anterior.json")
    # That model marks rows 100 to 103 and columns 90 to 95 of every image.
    (hotspot,) = document["hotspots"]
    assert (hotspot["score"], hotspot["area_px"]) == (0.75, 24)
    assert hotspot["thorax"]["box"] == [99.5, 90.0, 104.0, 96.25]
    assert document["model"]["runtime"].startswith("jax ")
