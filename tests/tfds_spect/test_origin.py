"""Tests of `tfds_spect.origin`: whom a run learnt from."""

import json

import pytest

from spectjax.phantom import write_phantom
from tfds_spect.errors import PrepareError
from tfds_spect.names import choose_splits
from tfds_spect.origin import describe_origin

NAME = "segmentation_mixed_phantom"


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom") / "patients"
    return write_phantom(folder, patients=1, seed=3, processes=1)


@pytest.fixture
def builder_dir(tmp_path):
    folder = tmp_path / NAME / "2.0.0"
    folder.mkdir(parents=True)
    write_metadata(folder, synthetic=True)
    return folder


def write_metadata(folder, *, synthetic):
    parts = {f"fold{i}": {"patients": i, "images": 10 * i} for i in range(5)}
    metadata = {"synthetic": synthetic, "parts": parts}
    (folder / "metadata.json").write_text(json.dumps(metadata))


def test_patients_that_trained_are_counted_once(builder_dir, phantom):
    # Folds 1, 2 and 4, with their copies or without.
    for copies in (True, False):
        splits = choose_splits(NAME, 0, 3, copies=copies)
        found = describe_origin(builder_dir, splits, phantom)
        assert (found["patients"], found["images"]) == (7, 70)
    assert (found["data_set"], found["data_set_version"]) == (NAME, "2.0.0")


def test_the_simulated_patients_are_those_of_the_folder(builder_dir, phantom):
    found = describe_origin(builder_dir, choose_splits(NAME, 0), phantom)
    assert found["population"] == "segmentation"
    assert (found["simulated_patients"], found["seed"]) == (1, 3)
    written = json.loads((phantom / "phantom.json").read_text())
    assert found["phantom_version"] == written["version"]


def test_real_patients_are_refused(builder_dir, phantom):
    write_metadata(builder_dir, synthetic=False)
    with pytest.raises(PrepareError, match="found real ones.*export such a run"):
        describe_origin(builder_dir, choose_splits(NAME, 0), phantom)


def test_a_folder_that_is_no_phantom_is_one_line(builder_dir, tmp_path):
    with pytest.raises(PrepareError, match="phantom.json: .*"):
        describe_origin(builder_dir, choose_splits(NAME, 0), tmp_path)
