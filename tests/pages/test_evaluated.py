"""Pages of `evaluate`: what readers and model say of the same image, side by side."""

import dataclasses

import numpy as np
import pytest

from spectjax.imaging.hotspots import decode_rle
from spectjax.inference.trained import TrainedModel
from spectjax.pages.evaluated import write_evaluated
from spectjax.pages.index import read_row
from tests.support.examples import make_examples
from tests.support.page_files import Page, unpack

INFO = {"model": "unet_res", "trained_on_regions": "whole_body"}


def make_four():
    """Two patients of two views, 8x8 pixels: two are outlined, one not, one normal."""
    examples = make_examples(4, (8, 8))
    masks = np.zeros((4, 8, 8), np.uint8)
    masks[0, 1:3, 1:3] = masks[0, 5:7, 5:7] = masks[1, 5:7, 1:3] = 1
    counts = np.arange(256, dtype=np.uint16).reshape(4, 8, 8, 1)
    return dataclasses.replace(
        examples,
        images=counts,
        masks=masks,
        labels=np.array([1, 1, 1, 0], np.int32),
        diagnoses=["metastasis", "metastasis", "metastasis", "normal"],
        patients=["p", "p", "q", "q"],
        views=["posterior", "anterior"] * 2,
        mask_evidence=["readers", "readers", "none", "none"],
        regions=("whole_body",),
        spacing_mm=np.array([(2, 3)] * 3 + [(np.nan, np.nan)], np.float32),
    )


def mark_left_half(counts):
    """Sees a hotspot at the upper left and at the lower right of each image."""
    probs = np.zeros((*counts.shape[:3], 2), np.float32)
    probs[:, 1:3, 1:4, 1] = probs[:, 7:, 7:, 1] = 0.75
    probs[..., 0] = 1 - probs[..., 1]
    return probs


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    model = TrainedModel(mark_left_half, INFO, "segmentation", (8, 8))
    write_evaluated(model, make_four(), folder)
    return folder / "pages"


def test_each_patient_has_a_page_with_all_views(pages):
    names = sorted(path.name for path in pages.iterdir())
    assert names == ["image1.html", "image3.html", "index.html"]
    data = Page(pages / "image1.html").read_data()
    assert [view["name"] for view in data["views"]] == ["image1", "image0"]
    counts = unpack(data["views"][1]["counts"])
    np.testing.assert_array_equal(counts, np.arange(64).reshape(8, 8))
    assert data["views"][1]["document"]["source"]["example_id"] == "image0"


def test_what_was_missed_and_what_is_false_is_told(pages):
    anterior, posterior = Page(pages / "image1.html").read_data()["views"]
    assert posterior["truth"]["short"] == "1 missed, 1 false"
    assert posterior["truth"]["meets"] == ["a lesion", "FALSE"]
    found, missed = posterior["truth"]["lesions"]
    assert (found["said"], missed["said"]) == ("found", "MISSED")
    assert (missed["area_px"], missed["area_mm2"]) == (4, 24)
    assert missed["counts"] == 45 + 46 + 53 + 54
    mask = decode_rle(missed["mask"])
    assert np.argwhere(mask).tolist() == [[5, 5], [5, 6], [6, 5], [6, 6]]
    assert (
        anterior["truth"]["said"]
        == "0 of 1 lesions found, 1 missed; 2 of 2 marks false."
    )
    assert "1 missed, 1 false" in read_row(pages / "image1.html").found


def test_where_nobody_outlined_nothing_is_false(pages):
    anterior, posterior = Page(pages / "image3.html").read_data()["views"]
    assert posterior["truth"]["meets"] == ["not known"] * 2
    assert "Nobody outlined this image" in posterior["truth"]["said"]
    # A normal image needs no outlines.
    assert anterior["truth"]["meets"] == ["FALSE"] * 2
    assert anterior["document"]["hotspots"][0]["area_mm2"] is None


def test_a_label_is_held_against_the_truth(tmp_path):
    def say(counts):
        return np.array([[0.25, 0.75]], np.float32)

    model = TrainedModel(say, INFO, "classification", (8, 6))
    write_evaluated(model, make_four(), tmp_path)
    anterior, posterior = Page(tmp_path / "pages/image3.html").read_data()["views"]
    assert posterior["truth"]["short"] == "label right"
    assert anterior["truth"]["said"] == "Truth: normal (normal). The label is WRONG."
    assert anterior["counts"]["hw"] == [8, 6]
    assert anterior["document"]["input"]["notes"] == []
