"""Tests of `spectjax.ready.packing`, with runs of random numbers."""

import json

import numpy as np
import pytest

from spectjax.inference.metadata import ModelFileError
from spectjax.inference.ready import DOCUMENT, load_ready, read_document
from spectjax.ready import packing
from spectjax.ready.packing import PackError, pack
from spectjax.system.files import write_json
from spectjax.system.messages import UserError
from tests.support.operations import OPERATION
from tests.support.untrained_runs import make_config, write_run

DATA = {
    "data_set": "segmentation_mixed_phantom",
    "data_set_version": "2.0.0",
    "patients": 7,
    "images": 11,
    "population": "classification",
    "simulated_patients": 9,
    "seed": 4,
    "phantom_version": 3,
}


@pytest.fixture(autouse=True)
def data(monkeypatch):
    """Runs on simulated patients; `tests/tfds_spect/test_origin.py` looks at these."""
    monkeypatch.setattr(packing, "_describe_data", lambda *_: DATA)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for seed in (0, 1):
        write_run(folder / f"run{seed}", make_config(seed=seed), seed=seed)
        scores = {"data": {"synthetic": True}}
        write_json(folder / f"run{seed}" / "eval" / "metrics.json", scores)
    write_json(folder / "run0" / "eval" / "operation.json", OPERATION.to_json())
    return [folder / "run0", folder / "run1"]


@pytest.fixture
def uncompared(monkeypatch):
    """Packs without asking the model, which takes seconds to compile."""
    monkeypatch.setattr(packing, "_compare", lambda *_: 0.0)


def read_folder(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_packed_run_says_what_it_is_and_answers_as_the_run(runs, tmp_path, capsys):
    pack(runs[:1], tmp_path)  # it compares the answers
    document = read_document(tmp_path)
    (member,) = document["members"]
    assert member["trained_on"] == DATA
    assert member["config"]["model"]["features"] == [2, 4]
    name = document["name"]
    assert name.startswith("unet_res-") and name in capsys.readouterr().out
    model = load_ready(tmp_path)
    assert (model.info["name"], model.operation) == (name, OPERATION)


@pytest.mark.usefixtures("uncompared")
def test_packing_again_gives_the_same_bytes_and_leaves_no_other_member(runs, tmp_path):
    pack(runs, tmp_path / "a")
    pack(runs, tmp_path / "b")
    first = read_folder(tmp_path / "a")
    assert first == read_folder(tmp_path / "b")
    assert list(first) == ["member0.safetensors", "member1.safetensors", DOCUMENT]
    assert json.loads(first[DOCUMENT])["operation"] is None  # measured of one alone
    pack(runs[1:], tmp_path / "a")
    second = read_folder(tmp_path / "a")
    assert list(second) == ["member0.safetensors", DOCUMENT]
    assert second["member0.safetensors"] == first["member1.safetensors"]


@pytest.mark.usefixtures("uncompared")
def test_several_runs_answer_as_one(runs, tmp_path):
    counts = np.random.default_rng(0).poisson(5, (1, 16, 16, 1))
    for name, some in (("a", runs[:1]), ("b", runs[1:]), ("both", runs)):
        pack(some, tmp_path / name)
    a, b, both = (
        load_ready(tmp_path / name).predict(counts) for name in ("a", "b", "both")
    )
    np.testing.assert_allclose(both, (a + b) / 2, atol=1e-6)
    info = load_ready(tmp_path / "both").info
    assert [each["run"] for each in info["members"]] == ["member0", "member1"]


@pytest.mark.usefixtures("uncompared")
def test_float16_takes_half_the_room_for_kernels(runs, tmp_path):
    pack(runs[:1], tmp_path / "whole")
    pack(runs[:1], tmp_path / "half", dtype="float16")
    whole, half = (
        len(read_folder(tmp_path / name)["member0.safetensors"])
        for name in ("whole", "half")
    )
    kernels = read_kernels(tmp_path / "whole")
    assert whole - half == pytest.approx(2 * kernels, abs=200)  # names of dtypes


def read_kernels(folder):
    """How many numbers the kernels have."""
    content = (folder / "member0.safetensors").read_bytes()
    size = int.from_bytes(content[:8], "little")
    shapes = [x["shape"] for x in json.loads(content[8 : 8 + size]).values()]
    return sum(int(np.prod(shape)) for shape in shapes if len(shape) > 1)


@pytest.mark.usefixtures("uncompared")
def test_what_several_runs_know_about_their_use_is_given(runs, tmp_path):
    path = runs[0] / "eval" / "operation.json"
    pack(runs, tmp_path / "a", operation=path)
    assert read_document(tmp_path / "a")["operation"] == OPERATION.to_json()
    path = tmp_path / "operation.json"
    write_json(path, {"format": 1})
    with pytest.raises(UserError, match="operation.json: expected what a model knows"):
        pack(runs, tmp_path / "b", operation=path)


def test_what_answers_otherwise_is_told(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "measure_difference", lambda *_: float("nan"))
    with pytest.raises(PackError, match="found them nan away. Do not ship it"):
        pack(runs[:1], tmp_path)


def test_weights_that_are_too_large_are_refused(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "READY_BYTES", 1000)
    with pytest.raises(PackError, match="Pack fewer runs, narrower ones"):
        pack(runs[:1], tmp_path)
    assert not any(tmp_path.iterdir())


def test_packing_asks_for_runs(tmp_path):
    with pytest.raises(PackError, match="Expected --workdir=RUN"):
        pack([], tmp_path)
    with pytest.raises(ModelFileError, match="found no config.json"):
        pack([tmp_path / "none"], tmp_path)
