"""Tests of `spectjax.tasks.hotspots.table`."""

import pytest

from spectjax.metrics.pixel import imply_iou
from spectjax.tasks.hotspots.table import PAPER_TABLE_2, write_segmentation_table

FOLD_SCORES = (
    *("pooled_IoU", "per_image_IoU"),
    *("sensitivity", "false_per_image", "sensitivity_at_1"),
)
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
        "with_lesion": {
            "PA": 0.625,
            "CPA": None,
            "Rec": 0.25,
            "IoU": 0.0625,
            "Dice": 0.1,
            "n_averaged": {"PA": 2, "CPA": 0, "Rec": 2, "IoU": 2, "Dice": 2},
        },
    },
    "lesion": {
        "threshold": 0.5,
        "min_iou": 0.1,
        "n": 4,
        "found": 3,
        "sensitivity": 0.75,
        "sensitivity_at": {"0.5": 0.5, "1": 0.875},
        "threshold_at": {"0.5": 0.99999386, "1": 0.07585818},
        "dice": 0.65,
        "hausdorff95_mm": 12.25,
        "regions": 9,
        "false_regions": 6,
        "false_per_image": 2.0,
        "without_lesion": {"n_images": 1, "clean": 0.0},
        "evident": {
            "min_area_px": 6,
            "min_contrast": 2.0,
            "n": 0,
            "found": 0,
            "sensitivity": None,
            "sensitivity_at": {"0.5": None, "1": None},
            "dice": None,
            "hausdorff95_mm": None,
        },
        "by_size": {
            "below 20 mm": {
                "n": 4,
                "sensitivity": 0.75,
                "sensitivity_at": {"0.5": 0.5, "1": 0.875},
                "dice": 0.65,
                "hausdorff95_mm": None,
            }
        },
        "by_contrast": {},
    },
    "burden": {
        "area_mm2": {
            "n": 2,
            "bias": -120.4,
            "sd": 60.0,
            "low": -238.0,
            "high": -2.8,
            "concordance": 0.5,
        },
        "counts": {
            "n": 1,
            "bias": 7.0,
            "sd": None,
            "low": None,
            "high": None,
            "concordance": None,
        },
    },
    "intervals": {
        **{
            f"pixel.{way}.{name}": [0.125, 0.5]
            for way in ("pooled", "per_image", "with_lesion")
            for name in ("PA", "CPA", "Rec", "IoU", "Dice")
        },
        "lesion.false_per_image": [1.5, 2.5],
        "lesion.without_lesion.clean": [None, None],
        "lesion.dice": [0.5, 0.75],
        "lesion.hausdorff95_mm": [9.25, 18.0],
        **{
            f"{path}.{score}": [0.25, 0.9375]
            for path in ("lesion", "lesion.evident", "lesion.by_size.below 20 mm")
            for score in ("sensitivity", "sensitivity_at.0.5", "sensitivity_at.1")
        },
        "burden.area_mm2.bias": [-200.0, None],
        "burden.counts.bias": [3.0, 9.0],
    },
}


def rows_of(table, *start):
    """Cells of the rows whose first cells are `start`, in order."""
    rows = [line.removeprefix("| ").split(" | ") for line in table.splitlines()]
    rows = [[cell.removesuffix(" |") for cell in row] for row in rows]
    return [row for row in rows if row[: len(start)] == list(start)]


def row_of(table, *start):
    """Cells of the first of these rows."""
    return rows_of(table, *start)[0]


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


def test_write_segmentation_table_shows_all_ways_to_average_with_their_intervals():
    table = write_segmentation_table(METRICS)
    (pooled, per_image), with_lesion = (
        [row_of(table, f"unet_res, {way}") for way in ("pooled", "per image")],
        row_of(table, "unet_res, per image with a lesion"),
    )
    scores = ["0.7500", "0.6667", "0.5000", "0.4000", "0.5714"]
    assert pooled[2:] == [*(f"{score} (0.125–0.500)" for score in scores), "0.4000"]
    assert [cell[:6] for cell in per_image[2:]] == [
        *("0.5000", "–", "0.2500", "0.1250", "0.2000", "–")
    ]
    assert with_lesion[4] == "0.2500 (0.125–0.500)"
    assert rows_of(table, "unet_res, per image")[1][1:] == ["3", "0", "2", "3", "3"]


def test_write_segmentation_table_shows_lesions_by_operating_point_and_class():
    table, bounds = write_segmentation_table(METRICS), "(0.250–0.938)"
    found, _, _ = rows_of(table, "unet_res")[:3]
    assert found[1:4] == ["3 of 4", "6 of 9", f"0.750 {bounds}"]
    assert found[4:] == [
        *("2.000 (1.500–2.500)", "0.000", "0.650 (0.500–0.750)", "12.2 (9.2–18.0)")
    ]
    at = {
        row[1]: row[2:]
        for row in rows_of(table, "unet_res")
        if row[1].endswith("lesions")
    }
    assert at["all lesions"] == [f"0.500 {bounds}", f"0.875 {bounds}"]
    assert at["evident lesions"] == ["–", "–"]
    assert at["threshold, all lesions"] == ["0.999994", "0.0759"]
    assert row_of(table, "Model", "Score")[2:] == [
        *("all (4)", "evident (0)", "diameter below 20 mm (4)")
    ]
    every, small = f"0.750 {bounds}", f"0.750 {bounds}"
    assert row_of(table, "unet_res", "sensitivity")[2:] == [every, "–", small]
    at_one = row_of(table, "unet_res", "sensitivity at 1 false region per image")
    assert at_one[2:] == [f"0.875 {bounds}", "–", f"0.875 {bounds}"]
    assert row_of(table, "unet_res", "Dice")[2:] == ["0.650", "–", "0.650"]
    assert row_of(table, "unet_res", "Hausdorff 95, mm")[2:] == ["12.2", "–", "–"]


def test_write_segmentation_table_shows_the_agreement_of_burden():
    table = write_segmentation_table(METRICS)
    area = ["2", "−120", "60", "−238 to −3", "0.500"]
    assert row_of(table, "unet_res", "area, mm²")[2:] == area
    counts = ["1", "+7 (+3 to +9)", "–", "–", "–"]
    assert row_of(table, "unet_res", "counts")[2:] == counts


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
    row = row_of(
        write_segmentation_table(METRICS | {"pixel": pixel}), "unet_res, pooled"
    )
    assert [cell[:6] for cell in row[2:]] == ["0.9900"] + ["0.0000"] * 5


def test_the_table_of_several_models_has_what_the_table_of_each_has():
    folds = {"scores": dict.fromkeys(FOLD_SCORES, {"mean": 0.5, "sd": None, "n": 1})}
    model = METRICS | {
        "folds": folds,
        "network": {"num_parameters": 1234, "num_epochs": 3, "image_hw": [64, 32]},
        "training_seconds": [60.0, 90.0, 120.0],
    }
    several = {
        **{name: METRICS[name] for name in METRICS if name.startswith("n_")},
        "data": METRICS["data"],
        "models": {"one": model, "unet_res": model},
        "comparisons": [],
        "at_equal_sensitivity": [],
    }
    table = write_segmentation_table(several)
    alone = write_segmentation_table(METRICS)
    assert "Every one of 2 patients was held out once: images 3" in table
    for row in alone.splitlines():
        if row.startswith("| unet_res"):
            assert row in table and row.replace("unet_res", "one", 1) in table
    assert row_of(table, "one", "1,234")[2:] == ["64x32", "3", "1.5 min"]
    assert row_of(table, "one", "0.5000 ± –")
