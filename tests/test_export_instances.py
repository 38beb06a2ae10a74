"""Tests of `spectjax.export` for models that mark instances."""

import sys
import zipfile
from functools import partial

import jax
import numpy as np
import pytest

from spectjax import export
from spectjax.config import save_config
from spectjax.inference import conversion, runtimes
from spectjax.inference.answers import measure_difference
from spectjax.inference.conversion import ExportError
from spectjax.inference.trained import load_run
from tests.support.model_files import write_instances
from tests.support.untrained_runs import make_config, write_run


def test_onnx_is_refused_for_instances_before_anything_is_loaded(tmp_path, monkeypatch):
    config = make_config(task="instance_segmentation")
    save_config(config, tmp_path / "config.json")
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    with pytest.raises(ExportError, match=r"Export it to \.stablehlo\.zip") as error:
        export.run(tmp_path, tmp_path / "model.onnx")
    assert "found one of instance_segmentation" in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_compare_runtimes_compares_instances(tmp_path):
    path = tmp_path / "model.stablehlo.zip"
    write_instances(path, (120, 110))
    counts = np.zeros((2, 120, 110, 1), np.float32)
    held = runtimes.load_file(path, "jax", isolated=False).predict(counts)

    def predict(counts, score):
        # What the file holds, but for the score of the first instance.
        return held._replace(scores=held.scores + np.float32([score, 0]))._asdict()

    for score in (0.0, 0.125):
        found = conversion.compare_runtimes(
            path.read_bytes(), path.name, partial(predict, score=score), counts
        )
        assert found == {"jax": score}


def write_mask_rcnn(workdir):
    changes = {"model.detections": 5, "optimizer.average": 0.0}
    write_run(workdir, make_config("mask_rcnn", **changes))


def test_a_mask_rcnn_is_exported_for_any_number_of_images(tmp_path):
    pytest.importorskip("flatbuffers")
    write_mask_rcnn(tmp_path)
    predict, metadata = conversion.load_predict(tmp_path)
    metadata["input"]["shape"] = ["B", 64, 64, 1]  # compiles in a fraction of the time
    (tmp_path / "model.stablehlo.zip").write_bytes(
        conversion.write_stablehlo(predict, metadata)
    )
    with zipfile.ZipFile(tmp_path / "model.stablehlo.zip") as bundle:
        program = jax.export.deserialize(bytearray(bundle.read("model.jax_export")))
    outputs = jax.tree.unflatten(program.out_tree, program.out_avals)
    shapes = {name: str(aval.shape) for name, aval in outputs.items()}
    assert shapes == {
        "boxes": "(B, 5, 4)",
        "scores": "(B, 5)",
        "labels": "(B, 5)",
        "valid": "(B, 5)",
        "masks": "(B, 5, 64, 64)",
    }


@pytest.mark.slow
def test_an_exported_mask_rcnn_gives_the_instances_of_the_run(tmp_path, capsys):
    pytest.importorskip("flatbuffers")
    write_mask_rcnn(tmp_path)
    path = tmp_path / "model.stablehlo.zip"
    export.run(tmp_path, path)
    assert "Hotspots in new scans" in capsys.readouterr().out
    counts = conversion.make_test_images((256, 256))
    expected = load_run(tmp_path).predict(counts)
    found = runtimes.load_file(path, "jax", isolated=False).predict(counts)
    assert expected.valid.any()
    assert measure_difference(found, expected) < 1e-4
