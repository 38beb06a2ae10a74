"""Tests of `tfds_spect.splits`, `tfds_spect.configs` and `tfds_spect.sizes`."""

import importlib.util
from fractions import Fraction

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tfds_spect.configs import list_configs
from tfds_spect.copies import plan_copies
from tfds_spect.example import ThoraxExample
from tfds_spect.folds import deal_folds
from tfds_spect.prepare import prepare
from tfds_spect.reading import DataSource, TFRecords
from tfds_spect.sizes import (
    PartSize,
    count_diagnoses,
    count_patients_on_both_sides,
    measure_parts,
)
from tfds_spect.splits import make_records, plan_folds, plan_leaking

CONFIGS = {config.name: config for config in list_configs()}
# [P2] Table 1, and Table 2 with copies.
ORIGINALS = {
    "normal": 220,
    "multiple bone metastasis": 111,
    "spinal metastasis": 14,
    "metastasis outside spine": 1,
}
WITH_COPIES = {
    "normal": 1200,
    "multiple bone metastasis": 1043,
    "spinal metastasis": 133,
    "metastasis outside spine": 14,
}


def make_example(number, diagnosis):
    pixel = np.zeros((256, 256), np.uint16)
    pixel[100, 100] = 9
    return ThoraxExample(
        counts=pixel,
        lesions=np.zeros((256, 256), np.uint16),
        labels=(),
        diagnosis=diagnosis,
        mask_evidence="outlines",
        patient=f"p{number // 2}",
        view=("anterior", "posterior")[number % 2],
        spacing_mm=None,
        crop_box=(0, 0, 256, 256),
        frame_hw=(1024, 256),
        source=f"{number:08d}",
        synthetic=True,
    )


def make_originals(numbers):
    diagnoses = [name for name, n in numbers.items() for _ in range(n)]
    return [make_example(number, name) for number, name in enumerate(diagnoses)]


def plan(config_name, originals):
    config = CONFIGS[config_name]
    folds = deal_folds(originals)
    n_copies = plan_copies(folds, config.copy_rules)
    planner = plan_leaking if config.leaking else plan_folds
    return planner(folds, n_copies, normalised=config.normalised), n_copies


def list_standing(portions):
    """(example id of the original, number of the copy) of all that stands there."""
    return [
        (portion.original.example_id, number)
        for portion in portions
        for number in portion.numbers
    ]


@pytest.mark.parametrize("name", ["classification_d2", "classification_d3"])
def test_copies_make_the_tables_of_the_classification_paper(name):
    originals = make_originals(ORIGINALS)
    splits, n_copies = plan(name, originals)
    found = count_diagnoses(originals, n_copies)
    assert found.pop("metastasis") == [0, 0]
    assert {d: images for d, (images, _) in found.items()} == ORIGINALS
    assert {d: sum(numbers) for d, numbers in found.items()} == WITH_COPIES
    of_normal = {n_copies[e.example_id] for e in originals if e.diagnosis == "normal"}
    assert of_normal == {0, 8, 9}
    assert sum(len(list_standing(portions)) for portions in splits.values()) == 2390
    assert count_patients_on_both_sides(splits) == 0
    assert sum(size.images for size in measure_parts(splits).values()) == 346


def test_metastases_of_unstated_kind_get_copies_as_all_kinds_together():
    originals = make_originals({"normal": 220, "metastasis": 126})
    _, n_copies = plan("classification_d3", originals)
    assert sum(n_copies.values()) + 346 == 2390


def test_d1_has_no_copies():
    splits, n_copies = plan("classification_d1", make_originals(ORIGINALS))
    assert set(splits) == {f"fold{fold}" for fold in range(5)}
    assert not any(n_copies.values())


def test_the_leaking_split_has_70_percent_of_all_images_and_shares_patients():
    originals = make_originals(ORIGINALS)
    splits, _ = plan("classification_d3_leaking", originals)
    safe, _ = plan("classification_d3", originals)
    train, test = list_standing(splits["train"]), list_standing(splits["test"])
    assert (len(train), len(test)) == (1673, 717)  # as in [P2]: 353 + 364 in test
    together = [one for portions in safe.values() for one in list_standing(portions)]
    assert sorted(train + test, key=repr) == sorted(together, key=repr)
    # Nearly every patient with copies stands on both sides.
    assert count_patients_on_both_sides(splits) > 100
    parts = measure_parts(splits)
    assert sum(size.images for size in parts.values()) == 346
    assert 0.6 < parts["train"].images / 346 < 0.8  # originals are shuffled too
    folds = deal_folds(originals)
    ids = [{example.example_id for example in fold} for fold in folds]
    for portion in splits["test"]:
        assert portion.original.example_id in ids[portion.fold]


def test_the_leaking_split_does_not_depend_on_the_order_of_images():
    originals = make_originals({"normal": 10, "spinal metastasis": 6})
    one, _ = plan("segmentation_quick_leaking", originals)
    other, _ = plan("segmentation_quick_leaking", originals[::-1])
    assert set(list_standing(one["train"])) == set(list_standing(other["train"]))


def test_copies_are_the_same_in_every_split_of_them():
    originals = make_originals({"spinal metastasis": 10})
    leaking, _ = plan("segmentation_quick_leaking", originals)
    safe, _ = plan("segmentation_quick", originals)
    records = [
        dict(
            one
            for portions in splits.values()
            for p in portions
            for one in make_records(p)
        )
        for splits in (leaking, safe)
    ]
    assert len(records[0]) == 50
    assert records[0] == records[1]


def test_measure_parts_counts_patients_images_and_copies():
    splits, _ = plan("segmentation_smoke", make_originals({"normal": 12}))
    assert measure_parts(splits)["fold0"] == PartSize(patients=2, images=4, copies=4)
    assert measure_parts(splits)["fold4"] == PartSize(patients=1, images=2, copies=2)


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_a_hospital_and_the_phantom_have_the_same_configs(name):
    hospital = CONFIGS[name.removesuffix("_phantom")]
    phantom = CONFIGS[f"{hospital.name}_phantom"]
    assert hospital.phantom is None and phantom.phantom is not None
    for field in ("copy_rules", "needs_outlines", "normalised", "leaking"):
        assert getattr(hospital, field) == getattr(phantom, field)
    copies = hospital.description.partition("A hospital; ")[2]
    assert copies and copies in phantom.description


def test_the_populations_are_those_of_the_papers():
    sizes = {name: c.phantom.patients for name, c in CONFIGS.items() if c.phantom}
    assert sizes["segmentation_phantom"] == 76
    assert sizes["classification_d1_phantom"] == 251
    assert CONFIGS["segmentation"].copy_rules[0].ratio == Fraction(2280, 112)


def test_every_leaking_config_says_so():
    leaking = {name for name, config in CONFIGS.items() if config.leaking}
    assert leaking == {
        f"{name}_leaking{twin}"
        for name in (
            "segmentation",
            "segmentation_quick",
            "classification_d2",
            "classification_d3",
        )
        for twin in ("", "_phantom")
    }
    for name, config in CONFIGS.items():
        assert ("LEAKING" in config.description) == (name in leaking)


# Written and read back.


@pytest.fixture(scope="module")
def leaking_d2(hospital, tmp_path_factory):
    folder = tmp_path_factory.mktemp("leaking")
    return prepare("classification_d2_leaking", data_dir=folder, manual_dir=hospital)


def test_a_leaking_data_set_is_marked_and_shares_patients(leaking_d2):
    builder = tfds.builder_from_directory(leaking_d2.builder_dir)
    assert set(builder.info.splits) == {"train", "test"}
    assert builder.info.metadata["leaking"] is True
    patients = {
        split: {e["patient"] for e in builder.as_data_source(split)}
        for split in ("train", "test")
    }
    shared = len(patients["train"] & patients["test"])
    assert leaking_d2.leaking
    assert leaking_d2.patients_on_both_sides == shared > 1
    text = leaking_d2.summarise()
    assert f"LEAKING, AS IN THE PAPERS: {shared} of 6 patients" in text
    n_train = builder.info.splits["train"].num_examples
    size = leaking_d2.parts["train"]
    assert (size.patients, size.images + size.copies) == (
        len(patients["train"]),
        n_train,
    )


def test_images_of_d2_are_floats_from_zero_to_one_in_both_formats(leaking_d2):
    builder = tfds.builder_from_directory(leaking_d2.builder_dir)
    sources = [DataSource(TFRecords(builder, "test"), builder.info.features, "")]
    if importlib.util.find_spec("array_record"):
        sources.append(builder.as_data_source("test"))
    for examples in sources:
        assert len(examples) == leaking_d2.parts["test"].images + (
            leaking_d2.parts["test"].copies
        )
        for example in examples:
            image = example["image"]
            assert image.dtype == np.float32
            assert (image.min(), image.max()) == (0, 1)
            names = builder.info.features["diagnosis"].names
            assert (names[example["diagnosis"]] == "normal") == (example["label"] == 0)
