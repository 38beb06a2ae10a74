"""COCO files against runs counted by hand and COCO's own code."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from tests.support.data_sets import MOVED, make_image, write_data_set
from tfds_spect.coco import encode_png, export_coco
from tfds_spect.errors import PrepareError
from tfds_spect.reading import open_split


def draw_counts():
    counts = np.zeros((256, 256), np.uint16)
    counts[100:160, 90:170] = np.arange(60 * 80).reshape(60, 80)
    counts[100, 90] = 65535
    return counts


@pytest.fixture(scope="module")
def data_set(tmp_path_factory):
    first = make_image(
        "aaaa",
        counts=draw_counts(),
        masks=[(101, 92, 104, 94), (0, 0, 1, 1), (250, 255, 256, 256)],
    )
    content = {
        "fold0": [first, make_image("cccc", diagnosis="normal", view="posterior")],
        "fold0_augmented": [make_image("aaaa", copy=MOVED, masks=[(5, 6, 8, 10)])],
        "fold1": [
            make_image(
                "bbbb",
                fold=1,
                spacing_mm=(np.nan, np.nan),
                evidence="none",
                diagnosis="metastasis",
                synthetic=False,
            )
        ],
    }
    return write_data_set(tmp_path_factory.mktemp("data"), content)


@pytest.fixture(scope="module")
def exported(data_set, tmp_path_factory):
    folder = tmp_path_factory.mktemp("coco")
    export_coco(data_set, folder)
    return folder


def read(folder, split):
    return json.loads((folder / "annotations" / f"{split}.json").read_text())


def image_of(document, patient):
    (image,) = [i for i in document["images"] if i["patient"] == patient]
    return image


def annotations_of(document, image):
    found = [a for a in document["annotations"] if a["image_id"] == image["id"]]
    return sorted(found, key=lambda annotation: annotation["id"])


def test_boxes_areas_and_runs_are_those_counted_by_hand(exported):
    document = read(exported, "fold0")
    first, corner, edge = annotations_of(document, image_of(document, "aaaa"))
    assert first["bbox"] == [92, 101, 2, 3]
    assert first["area"] == 6
    # 92 columns of 256 zeros, 101 more, then 3 ones in each of two columns.
    zeros = [92 * 256 + 101, 3, 253, 3, 256 * 256 - (93 * 256 + 104)]
    assert first["segmentation"] == {"size": [256, 256], "counts": zeros}
    assert corner["bbox"] == [0, 0, 1, 1]
    assert corner["segmentation"]["counts"] == [0, 1, 65535]
    assert edge["bbox"] == [255, 250, 1, 6]
    assert edge["segmentation"]["counts"] == [65530, 6]
    assert {a["iscrowd"] for a in document["annotations"]} == {0}
    assert {a["category_id"] for a in document["annotations"]} == {1}
    assert [c["name"] for c in document["categories"]] == ["metastasis"]


def test_images_carry_what_the_data_set_knows(exported):
    document = read(exported, "fold0")
    image = image_of(document, "aaaa")
    assert (image["width"], image["height"]) == (256, 256)
    assert image["view"] == "anterior"
    assert (image["label"], image["diagnosis"]) == (
        "metastasis",
        "multiple bone metastasis",
    )
    assert image["spacing_mm"] == [2.0, 2.5]
    assert (image["fold"], image["copy"], image["synthetic"]) == (0, None, True)
    normal = image_of(document, "cccc")
    assert (normal["label"], normal["view"]) == ("normal", "posterior")
    assert annotations_of(document, normal) == []
    (copy,) = read(exported, "fold0_augmented")["images"]
    assert copy["copy"] == MOVED
    (unknown,) = read(exported, "fold1")["images"]
    assert unknown["spacing_mm"] is None
    assert unknown["mask_evidence"] == "none"
    assert "SYNTHETIC" in document["info"]["description"]
    assert "SYNTHETIC" not in read(exported, "fold1")["info"]["description"]


def test_pictures_hold_every_count(exported):
    image = image_of(read(exported, "fold0"), "aaaa")
    picture = Image.open(exported / "images" / image["file_name"])
    np.testing.assert_array_equal(np.asarray(picture), draw_counts())
    assert picture.mode == "I;16"


def test_scaled_images_become_grey_values_as_stated(tmp_path):
    counts = np.zeros((256, 256), np.float32)
    counts[3, 4:7] = 0.25, 0.5, 1
    content = {name: [make_image("a", counts=counts)] for name in ("train", "test")}
    folder = write_data_set(tmp_path / "data", content, leaking=True)
    export_coco(folder, tmp_path, ["test"])
    document = read(tmp_path, "test")
    assert document["info"]["grey_values"] == "65535 times the value in [0, 1], rounded"
    assert document["info"]["leaking"]
    picture = Image.open(tmp_path / "images" / document["images"][0]["file_name"])
    assert np.asarray(picture)[3, 3:8].tolist() == [0, 16384, 32768, 65535, 0]


def test_ids_are_unique_over_splits_and_the_same_for_one_alone(
    data_set, exported, tmp_path
):
    documents = [read(exported, s) for s in ("fold0", "fold0_augmented", "fold1")]
    for kind, number in (("images", 4), ("annotations", 4)):
        ids = [each["id"] for document in documents for each in document[kind]]
        assert len(set(ids)) == len(ids) == number
    export_coco(data_set, tmp_path, ["fold0_augmented"])
    assert read(tmp_path, "fold0_augmented") == documents[1]
    assert len(list(tmp_path.rglob("*.json"))) == 1


def test_the_same_bytes_every_time(data_set, exported, tmp_path):
    export_coco(data_set, tmp_path)
    files = [path for path in exported.rglob("*") if path.is_file()]
    assert len(files) == 4 + 3
    for path in files:
        again = tmp_path / path.relative_to(exported)
        assert again.read_bytes() == path.read_bytes()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_pycocotools_reads_the_same_masks(exported, data_set):
    for split in ("fold0", "fold0_augmented"):
        read_by_coco = COCO(exported / "annotations" / f"{split}.json")
        for example in open_split(data_set, split):
            name = f"{example['example_id'].decode()}.png"
            (image_id,) = [
                key
                for key, image in read_by_coco.imgs.items()
                if image["file_name"] == name
            ]
            annotations = read_by_coco.loadAnns(
                read_by_coco.getAnnIds(imgIds=[image_id])
            )
            assert len(annotations) == len(example["instance_masks"])
            for annotation, mask in zip(
                annotations, example["instance_masks"], strict=True
            ):
                np.testing.assert_array_equal(read_by_coco.annToMask(annotation), mask)
                assert annotation["area"] == mask.sum()


def test_an_unknown_split_is_one_line(data_set, tmp_path):
    command = [
        *(sys.executable, "-m", "tfds_spect.coco", f"--dataset={data_set}"),
        *(f"--output_dir={tmp_path}", "--split=fold9"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert "fold9" in line and "fold0_augmented" in line
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(PrepareError, match="found no dataset_info.json"):
        export_coco(tmp_path, tmp_path)


def test_the_extremes_of_grey_survive():
    image = np.array([[0, 1, 65534, 65535]], np.uint16)
    assert (
        np.asarray(Image.open(io.BytesIO(encode_png(image)))).tolist() == image.tolist()
    )
