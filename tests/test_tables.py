"""Tests of `spectjax.report.tables`."""

import pytest

from spectjax.metrics.pixel import imply_iou
from spectjax.report.tables import PAPER_TABLE_2, write_segmentation_table

METRICS = {
    "model": "unet_res",
    "data": {
        "name": "tfds_spect/segmentation",
        "split": "fold2",
        "synthetic": True,
        "leaking": False,
    },
    "n_images": 3,
    "n_patients": 2,
    "n_images_without_lesion": 1,
    "pixel": {
        "pooled": {"PA": 0.75, "CPA": 2 / 3, "Rec": 0.5, "IoU": 0.4, "Dice": 4 / 7},
        "per_image": {
            "PA": 0.5,
            "CPA": None,
            "Rec": 0.25,
            "IoU": 0.125,
            "Dice": 0.2,
            "n_averaged": {"PA": 3, "CPA": 0, "Rec": 2, "IoU": 3, "Dice": 3},
        },
    },
}


def row_of(table, start):
    """Cells of the one row whose first cell is `start`."""
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()]
    (row,) = [cells for cells in rows if cells[0] == start]
    return row


@pytest.mark.parametrize(
    ("model", "implied"),
    [
        # With CPA p and Rec r: p r / (p + r - p r).
        ("U-Net", 0.51279 / (0.7624 + 0.6726 - 0.51279)),
        ("U-Net-Res", 0.52410 / (0.7721 + 0.6788 - 0.52410)),
        ("Mask R-CNN", 0.47456 / (0.7292 + 0.6508 - 0.47456)),
        ("Mask R-CNN-Att", 0.44169 / (0.6958 + 0.6348 - 0.44169)),
    ],
)
def test_printed_iou_is_not_the_one_that_printed_cpa_and_rec_imply(model, implied):
    row = PAPER_TABLE_2[model]
    assert imply_iou(row["CPA"], row["Rec"]) == pytest.approx(implied, abs=1e-4)
    assert 0.03 < row["IoU"] - implied < 0.05


def test_write_segmentation_table_shows_the_printed_rows():
    row = row_of(write_segmentation_table(METRICS), "U-Net-Res")
    assert row[2:] == ["0.9818", "0.7721", "0.6788", "0.6103", "–", "0.5655"]


def test_write_segmentation_table_shows_both_ways_to_average():
    table = write_segmentation_table(METRICS)
    pooled, per_image = (
        row_of(table, f"unet_res, {way}") for way in ("pooled", "per image")
    )
    assert pooled[2:] == ["0.7500", "0.6667", "0.5000", "0.4000", "0.5714", "0.4000"]
    assert per_image[2:] == ["0.5000", "–", "0.2500", "0.1250", "0.2000", "–"]
    assert "CPA 0, Rec 2" in table


def test_write_segmentation_table_labels_synthetic_data_only():
    real = METRICS | {"data": METRICS["data"] | {"synthetic": False}}
    synthetic_row = row_of(write_segmentation_table(METRICS), "unet_res, pooled")
    assert synthetic_row[1] == "SYNTHETIC, tfds_spect/segmentation fold2"
    assert "SYNTHETIC" not in write_segmentation_table(real)
    assert "not a medical device" in write_segmentation_table(real)


def test_write_segmentation_table_says_when_patients_leak():
    leaking = METRICS | {"data": METRICS["data"] | {"leaking": True}}
    assert "LEAKING" in write_segmentation_table(leaking)
    assert "Held out" not in write_segmentation_table(leaking)
    assert "LEAKING" not in write_segmentation_table(METRICS)
    assert "Held out: patients 2, images 3" in write_segmentation_table(METRICS)


def test_write_segmentation_table_accepts_a_model_that_finds_nothing():
    pooled = {"PA": 0.99, "CPA": 0.0, "Rec": 0.0, "IoU": 0.0, "Dice": 0.0}
    pixel = METRICS["pixel"] | {"pooled": pooled}
    table = write_segmentation_table(METRICS | {"pixel": pixel})
    assert row_of(table, "unet_res, pooled")[2:] == ["0.9900"] + ["0.0000"] * 5
