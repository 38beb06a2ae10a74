"""Tests of the model that ships, and of folders like its own that were spoilt."""

import json
import pathlib
import shutil

import jax
import numpy as np
import pytest

from spectjax.inference import runtimes
from spectjax.inference.metadata import ModelFileError, hash_parameters
from spectjax.inference.ready import (
    DOCUMENT,
    FOLDER,
    load_ready,
    read_document,
    read_weights,
)
from spectjax.tasks.views import SeenView, list_warnings
from tests.support.tiny_scans import crop_stub, make_scan

COUNTS = np.random.default_rng(0).poisson(5, (1, 64, 64, 1)).astype(np.uint16)


@pytest.fixture
def spoilt(tmp_path):
    """A copy of the folder that ships, for a test to spoil."""
    return pathlib.Path(shutil.copytree(FOLDER, tmp_path / "ready"))


def change(folder, edit):
    path = folder / DOCUMENT
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))


def test_weights_are_at_most_8_mb_and_nothing_is_pickled():
    weights = [path.stat().st_size for path in FOLDER.glob("*.safetensors")]
    assert 0 < sum(weights) <= 8_000_000
    kinds = {path.suffix for path in FOLDER.iterdir() if path.is_file()}
    assert kinds <= {".json", ".md", ".py", ".safetensors"}


def test_each_member_has_the_numbers_that_the_document_tells_of():
    members = read_document()["members"]
    names = {path.name for path in FOLDER.glob("*.safetensors")}
    assert names == {member["file"] for member in members}
    for member in members:
        found = hash_parameters(read_weights(FOLDER, member))
        assert found == member["parameters_sha256"]


def test_it_learnt_from_simulated_patients_alone_and_says_so():
    members = read_document()["members"]
    assert all(member["model"]["trained_on_synthetic_data"] for member in members)
    model = load_ready()
    view = SeenView("a", crop_stub()(make_scan()), (8, 8), None)
    assert list_warnings(view, model.info) == [
        f"The model {model.info['name']} was trained on simulated patients alone."
    ]


def test_it_answers_about_counts_of_any_kind():
    model = runtimes.find_model(workdirs=[], file=None, runtime=None)()
    assert model.input_hw == (256, 256)  # it takes others, for tests
    probs = model.predict(COUNTS)
    assert (probs.shape, probs.dtype) == ((1, 64, 64, 2), np.float32)
    np.testing.assert_allclose(probs.sum(axis=-1), 1, rtol=1e-5)
    with jax.transfer_guard_host_to_device("disallow"):  # weights are there already
        np.testing.assert_array_equal(model.predict(COUNTS.astype(np.float32)), probs)


@pytest.mark.parametrize("pixel_mm", [3.2, None])
def test_it_wants_the_pixels_that_the_document_tells_of(spoilt, pixel_mm):
    change(spoilt, lambda d: d["input"].update(pixel_mm=pixel_mm))
    assert load_ready(spoilt).pixel_mm == pixel_mm


def test_another_runtime_than_jax_asks_for_a_file():
    with pytest.raises(ModelFileError, match="--runtime=openvino: .* Leave --runtime"):
        runtimes.find_model(workdirs=[], file=None, runtime="openvino")


def test_a_folder_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(ModelFileError, match="none/model.json: .* found none. Install"):
        read_document(tmp_path / "none")


@pytest.mark.parametrize(
    ("edit", "found"),
    [
        (lambda d: d.pop("members"), "no 'members' in it"),
        (lambda d: d["members"][0].pop("sha256"), "no 'members.0..sha256' in it"),
        (lambda d: d.update(format=2), "one of format 2, not 1"),
        (lambda d: d.update(operation=[1]), ".1. as 'operation' instead of an object"),
        (lambda d: d.update(task="regression"), "one for 'regression'"),
        (lambda d: d.update(class_names=["a", "b"]), "one of the classes a, b"),
        (lambda d: d.update(members=[]), "one without members"),
        (
            lambda d: d.update(task="instance_segmentation", members=d["members"] * 2),
            "several members for instance_segmentation",
        ),
    ],
)
def test_a_document_that_is_none_is_one_line(spoilt, edit, found):
    change(spoilt, edit)
    with pytest.raises(ModelFileError, match=f"model.json: .*found {found}.* Install"):
        read_document(spoilt)


def test_a_damaged_document_is_one_line(spoilt):
    text = (spoilt / DOCUMENT).read_text()
    (spoilt / DOCUMENT).write_text(text[: len(text) // 2])
    with pytest.raises(ModelFileError, match="damaged JSON.*Install spectjax again"):
        read_document(spoilt)


def test_weights_that_are_not_those_of_the_document_are_refused(spoilt):
    path = spoilt / "member0.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="member0.safetensors: .*damaged, or of"):
        load_ready(spoilt)
    path.unlink()
    with pytest.raises(ModelFileError, match="member0.safetensors: .*found none"):
        load_ready(spoilt)


def test_weights_are_read_beside_the_document_only(spoilt):
    change(spoilt, lambda d: d["members"][0].update(file="../member0.safetensors"))
    load_ready(spoilt)
    (spoilt / "member0.safetensors").rename(spoilt.parent / "member0.safetensors")
    with pytest.raises(ModelFileError, match="ready/member0.safetensors"):
        load_ready(spoilt)


def test_weights_of_another_network_are_one_line(spoilt):
    def widen(document):
        network = document["members"][0]["config"]["model"]
        network["features"] = [2 * width for width in network["features"]]

    change(spoilt, widen)
    model = load_ready(spoilt)
    with pytest.raises(ModelFileError, match="expected weights that fit .* Install"):
        model.predict(COUNTS)
