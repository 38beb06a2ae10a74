"""Tests of `predict --labelme`: drafts to correct, and which to look at first."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spectjax import predict
from spectjax.imaging.annotations.files import find_annotations
from spectjax.imaging.hotspots import Instances, decode_rle
from spectjax.imaging.readers_pictures import render_view
from spectjax.inference import asking
from spectjax.inference.trained import TrainedModel
from spectjax.report import picture_parts
from spectjax.system.messages import UserError
from spectjax.tasks.hotspots.drafting import ORDER, DraftFolder, name_model
from tests.support.labelme_files import save_as_labelme
from tests.support.nm_files import detectors, write_nm
from tests.support.operations import OPERATION
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

pytestmark = SMALL_CROP
NAME = "IM1_anterior.json"


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """Drawing takes most of the time."""
    monkeypatch.setattr(picture_parts, "save_figure", lambda figure, path: None)


def predict_instances(counts):
    """Two instances of 9 pixels, of score 0.99 and 0.5."""
    masks = np.zeros((1, 2, 8, 8), bool)
    masks[0, 0, 1:4, 2:5] = masks[0, 1, 4:7, 2:5] = True
    boxes = np.float32([[(1, 2, 4, 5), (4, 2, 7, 5)]])
    scores, ones = np.float32([[0.99, 0.5]]), np.ones((1, 2), np.int32)
    return Instances(boxes, scores, ones, ones > 0, masks)


def predict_nothing(counts):
    return np.stack([counts[..., 0] * 0 + 0.75, counts[..., 0] * 0 + 0.25], axis=-1)


def draw(tmp_path, *scans, answer=predict_probs, operation=None, **options):
    """Predicts each scan as an examination, and returns the folder of the drafts."""
    folder = tmp_path / predict.DRAFTS
    files = options.pop("files", [scan.path for scan in scans])
    model = TrainedModel(
        answer, MODEL_INFO, "segmentation", (8, 8), operation=operation
    )
    drafts = DraftFolder(files, folder)
    result = ask(
        model, [[scan] for scan in scans], tmp_path, products=[drafts], **options
    )
    return folder, result


def read_order(folder):
    lines = (folder / ORDER).read_text().splitlines()
    assert lines[0] == "draft,outlines,expected_corrections,crop_in_doubt"
    return [tuple(line.split(",")) for line in lines[1:]]


def test_a_corrected_draft_is_an_annotation_of_the_pixels_that_were_marked(tmp_path):
    scan = make_scan(synthetic=True)
    folder, _ = draw(tmp_path, scan)
    path = folder / NAME
    assert find_annotations([folder]).by_image == {}
    save_as_labelme(path, checked=True)
    (found,) = find_annotations([folder]).by_image["IM1_anterior"]
    hotspots = read_json(tmp_path / NAME)["hotspots"]
    assert len(hotspots) == len(found.regions) == 2
    for hotspot, region, outline in zip(
        hotspots, found.regions, found.draft.outlines, strict=True
    ):
        mask = decode_rle(hotspot["whole_body"]["mask"])
        np.testing.assert_array_equal(region.fill((12, 6)), mask)
        assert (outline.category, outline.score) == ("metastasis", hotspot["score"])
    draft = found.draft
    assert (draft.model, draft.score_above) == ("unet_res step 7", 0.5)
    assert (draft.crop_box, draft.spacing_mm) == ((3, 1, 9, 5), (2.5, 2.0))
    assert (draft.image_key, draft.patient_key) == (scan.image_key, scan.patient_key)
    picture = np.asarray(Image.open(path.with_suffix(".png")))
    np.testing.assert_array_equal(picture, render_view(scan.counts, 99.5))


def test_most_doubtful_first(tmp_path, monkeypatch):
    def crop(scan):
        return crop_stub(("no neck",) if scan.path.stem == "IM3" else ())(scan)

    monkeypatch.setattr(asking, "crop_thorax", crop)
    keys = ("aa", "bb", "cc")
    scans = [
        make_scan(f"a/IM{i}.dcm", image_key=key * 8) for i, key in enumerate(keys, 1)
    ]

    def answer(counts):  # the second scan has nothing
        answer.asked += 1
        return (predict_nothing if answer.asked == 2 else predict_probs)(counts)

    answer.asked = 0
    folder, _ = draw(tmp_path, *scans, answer=answer)
    # Two marks of 0.875 and 0.625: 0.125 + 0.375 of them are wrong.
    assert read_order(folder) == [
        ("IM3_anterior.json", "2", "0.500", "yes"),
        ("IM1_anterior.json", "2", "0.500", ""),
        ("IM2_anterior.json", "0", "0.000", ""),
    ]


@pytest.mark.parametrize(
    ("answer", "point", "expected"),
    [
        # Scores are 1 / (1 + exp(4 - log-odds)): of 0.99, of 0.5 and of 0.25.
        (predict_instances, "specific", 0.64457 + 0.01799),
        (predict_instances, "balanced", 1 - 0.64457 + 0.01799),
        (predict_instances, "sensitive", 1 - 0.64457 + 1 - 0.01799),
        (predict_nothing, "specific", 1 / (1 + np.exp(4 + np.log(3)))),
    ],
)
def test_what_is_wrong_by_the_models_own_scores_is_added_up(
    tmp_path, answer, point, expected
):
    model = TrainedModel(
        answer, MODEL_INFO, "segmentation", (8, 8), operation=OPERATION
    )
    if answer is predict_instances:
        model = TrainedModel(
            answer, MODEL_INFO, "instance_segmentation", (8, 8), operation=OPERATION
        )
    ask(model, [[make_scan()]], tmp_path, operating_point=point)
    found = read_json(tmp_path / NAME)["expected_corrections"]
    assert found == pytest.approx(expected, abs=1e-4)


def test_a_draft_replaces_a_draft_and_nothing_that_was_saved(tmp_path, capsys):
    path = tmp_path / predict.DRAFTS / NAME
    draw(tmp_path, make_scan(), answer=predict_nothing)
    _, (written, refused, _) = draw(tmp_path, make_scan())
    assert (written, refused, len(read_json(path)["shapes"])) == (1, 0, 2)
    save_as_labelme(path, [], checked=True)
    before = path.read_bytes()
    _, (written, refused, _) = draw(tmp_path, make_scan())
    assert (written, refused, path.read_bytes()) == (1, 1, before)
    assert "may be a reader's work. No draft is written." in capsys.readouterr().err


def test_a_draft_of_another_image_is_not_replaced(tmp_path):
    draw(tmp_path / "one", make_scan())
    other = make_scan(image_key="cd" * 8)
    _, (_, refused, _) = draw(tmp_path / "one", other)
    assert refused == 1


def test_a_name_that_ties_no_draft_to_its_scan_is_refused(tmp_path, capsys):
    files = [Path("a/IM1.dcm"), Path("b/IM1.dcm")]
    folder, (written, refused, _) = draw(tmp_path, make_scan(), files=files)
    assert (written, refused, (folder / NAME).exists()) == (1, 1, False)
    assert "the name ties an annotation to its scan" in capsys.readouterr().err


def test_pictures_of_one_stem_are_told_apart_by_their_views(tmp_path):
    scans = [
        make_scan("ANT/17.png", image_key="aa" * 8),
        make_scan("POST/17.png", view="posterior", image_key="bb" * 8),
        make_scan("OLD/17.png", image_key="cc" * 8),
    ]
    folder, (written, refused, _) = draw(tmp_path, *scans)
    assert (written, refused) == (3, 1)
    names = [row[0] for row in read_order(folder)]
    assert sorted(names) == ["17_anterior.json", "17_posterior.json"]


def test_the_command_writes_drafts_without_a_patients_name(tmp_path, monkeypatch):
    model = TrainedModel(predict_probs, MODEL_INFO, "segmentation", (8, 8))
    workdir = make_run(tmp_path, monkeypatch, model)
    frames = np.arange(2 * 12 * 6, dtype=np.uint16).reshape(2, 12, 6)
    views = detectors("posterior", "anterior")
    write_nm(tmp_path / "IM1.dcm", frames, DetectorInformationSequence=views)
    out = tmp_path / "out"
    predict.run(
        [tmp_path / "IM1.dcm"], workdirs=[workdir], output_dir=out, labelme=True
    )
    names = ["IM1_anterior", "IM1_posterior"]
    drafts = [f"{name}{suffix}" for name in names for suffix in (".json", ".png")]
    folder = out / predict.DRAFTS
    assert sorted(path.name for path in folder.iterdir()) == [*drafts, ORDER]
    written = b"".join(path.read_bytes() for path in folder.iterdir())
    assert b"Secret" not in written and b"4711" not in written


def test_a_classifier_draws_no_drafts(tmp_path):
    model = TrainedModel(lambda _: np.ones((1, 2)) / 2, {}, "classification", (8, 8))
    with pytest.raises(UserError, match="--labelme: expected a model that marks"):
        ask(model, [[make_scan()]], tmp_path, products=[DraftFolder([], tmp_path)])


def test_a_model_has_one_name():
    run = {
        "model": "unet",
        "data_fingerprint": "3f" * 32,
        "held_out_fold": 0,
        "step": 7,
    }
    assert name_model(run) == "unet data 3f3f3f3f fold 0 step 7"
    assert name_model({"members": [run, {"model": "unet"}]}).endswith("step 7 + unet")
    assert name_model({"name": "ready-1", "members": [run]}) == "ready-1"


def test_a_draft_is_labelmes_json(tmp_path):
    folder, _ = draw(tmp_path, make_scan())
    document = json.loads((folder / NAME).read_text())
    assert document["version"].startswith("5.")
    assert document["imagePath"] == "IM1_anterior.png"
    assert (document["imageHeight"], document["imageWidth"]) == (12, 6)
    assert document["flags"] == {"checked": False}
    assert list(document["shapes"][0]["flags"]) == [
        "draft: score 0.875",
        "draft: model unet_res step 7",
    ]
