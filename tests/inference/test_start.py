"""Tests of `spectjax.inference.start`: what `--config.pretrained` may name."""

import json

import numpy as np
import pytest
import safetensors.numpy
from flax.traverse_util import flatten_dict

from spectjax import export
from spectjax.config import ConfigError
from spectjax.inference.metadata import ModelFileError
from spectjax.inference.start import find_start
from spectjax.inference.trained import load_run
from spectjax.training.start import OwnWeights
from spectjax.weights import WeightsError
from tests.support.untrained_runs import draw_live, make_config, write_run


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    write_run(folder, make_config(), 1)
    return folder


@pytest.fixture(scope="module")
def exported(workdir, tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "weights.safetensors"
    export.run(workdir, path)
    return path


def find(source, tmp_path):
    return find_start(make_config(pretrained=str(source)), tmp_path / "new")


def test_a_run_and_the_file_that_export_writes_of_it_begin_alike(
    workdir, exported, tmp_path
):
    wanted = flatten_dict(load_run(workdir).variables, sep="/")
    for source in (workdir, exported):
        start = find(source, tmp_path)
        found = flatten_dict(start.variables, sep="/")
        assert found.keys() == wanted.keys() and start.source == str(source)
        assert all(np.array_equal(found[key], wanted[key]) for key in wanted)
        assert start.config.model.to_dict() == make_config().model.to_dict()
        filled, notes = start.fill(make_config(), draw_live(start.variables))
        assert np.array_equal(
            filled["params"]["head"]["kernel"], found["params/head/kernel"]
        )
        assert notes[0] == f"Weights of unet_res from {source}."


def test_the_model_that_ships_is_one_to_begin_with(tmp_path):
    start = find("shipped", tmp_path)
    assert start.config.model.name == "unet_res"
    with pytest.raises(WeightsError, match=r"--config\.model\.features=\(2, 4\) here"):
        start.fill(make_config(), start.variables)
    filled, notes = start.fill(start.config, draw_live(start.variables))
    assert np.array_equal(
        filled["params"]["down0"]["conv1"]["kernel"],
        start.variables["params"]["down0"]["conv1"]["kernel"],
    )
    assert "not checked" not in " ".join(notes)  # it has seen no patient


def test_a_run_that_has_begun_and_files_of_pytorch_have_no_start_of_ours(
    workdir, tmp_path
):
    config = make_config(pretrained=str(tmp_path / "gone"))
    assert find_start(config, workdir) is None
    assert find_start(make_config(), tmp_path) is None
    torch = tmp_path / "torch.safetensors"
    safetensors.numpy.save_file({"conv1.weight": np.zeros(3, np.float32)}, torch)
    assert find(torch, tmp_path) is None


def test_what_is_not_there_or_damaged_is_one_line(exported, tmp_path):
    with pytest.raises(ConfigError, match="a file of weights or shipped, found none"):
        find(tmp_path / "gone", tmp_path)
    with pytest.raises(ModelFileError, match=r"found no config\.json"):
        find(tmp_path, tmp_path)
    content = bytearray(exported.read_bytes())
    content[-3] ^= 1
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(content)
    with pytest.raises(WeightsError, match="the file is damaged"):
        find(damaged, tmp_path)
    size = int.from_bytes(content[:8], "little")
    said = json.loads(content[8 : 8 + size])["__metadata__"]["spectjax"]
    other = json.dumps(json.loads(said) | {"format": 99})
    arrays = safetensors.numpy.load(exported.read_bytes())
    newer = tmp_path / "newer.safetensors"
    safetensors.numpy.save_file(arrays, newer, {"spectjax": other})
    with pytest.raises(ModelFileError, match="metadata of format 1, found 99"):
        find(newer, tmp_path)
    assert isinstance(find(exported, tmp_path), OwnWeights)
