"""Tests of `spectjax.export`: the file gives what JAX gives, and tells what it is."""

import json
import pathlib
import subprocess
import sys
import zipfile
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from pydicom.data import get_testdata_file

from spectjax import export, predict
from spectjax.imaging.hotspots import decode_rle
from spectjax.inference import conversion, runtimes
from spectjax.inference.conversion import ExportError
from spectjax.inference.engines import MissingPackageError
from spectjax.inference.metadata import ModelFileError, make_metadata
from spectjax.inference.trained import load_run
from spectjax.report import picture_parts
from spectjax.system.files import write_json
from spectjax.training.assembly import create_task
from tests.support.model_files import runtime_is_installed
from tests.support.untrained_runs import draw_live, make_config, write_run

NEEDS_JAX2ONNX = pytest.mark.skipif(
    not (runtime_is_installed("jax2onnx") and runtime_is_installed("onnxruntime")),
    reason="jax2onnx and onnxruntime are not installed",
)


# A seed of parameters with which the smoke U-Net-Res marks ten spots in the real scan.
SPOTS = 19
# Small enough for seconds; 48x40 pixels leave odd rows and columns to some poolings.
SMALL_HW = (48, 40)
SMALL_VGG = {"features": (4, 6, 6, 8, 8), "hidden": 8, "pool_hw": (2, 2)}
SMALL_CLASSIFIERS = {
    "specs_v7": SMALL_VGG,
    "specs_v16": SMALL_VGG | {"batch_norm": True},
    "specs_v19": SMALL_VGG,
    "specs_v21": SMALL_VGG,
    "specs_v24": SMALL_VGG,
    "specs_r34": {"stage_sizes": (1, 2), "features": (4, 6)},
    "specs_d121": {"stage_sizes": (2, 1), "growth": 4, "stem_features": 6},
}


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    pytest.importorskip("flatbuffers")
    folder = tmp_path_factory.mktemp("run")
    write_run(folder, make_config(), SPOTS)
    write_json(folder / "eval" / "metrics.json", {"data": {"synthetic": True}})
    return folder


@pytest.fixture(scope="module")
def stablehlo(workdir, tmp_path_factory):
    path = tmp_path_factory.mktemp("stablehlo") / "model.stablehlo.zip"
    export.run(workdir, path)
    return path


@pytest.fixture(scope="module")
def onnx_file(workdir, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    export.run(workdir, path)
    return path


def read_metadata(path):
    with zipfile.ZipFile(path) as bundle:
        return json.loads(bundle.read("metadata.json"))


def test_stablehlo_gives_the_probabilities_of_the_run(workdir, stablehlo):
    counts = conversion.make_test_images((256, 256))
    expected = load_run(workdir).predict(counts)
    predict_probs = runtimes.load_file(stablehlo, "jax", isolated=False).predict
    np.testing.assert_allclose(predict_probs(counts), expected, atol=1e-5)
    np.testing.assert_allclose(
        predict_probs(counts[1:].astype(np.uint16)), expected[1:], atol=1e-5
    )
    assert np.ptp(expected) > 0.1  # else anything would do


def test_metadata_tells_what_goes_in_and_out(stablehlo):
    metadata = read_metadata(stablehlo)
    assert metadata["input"]["name"] == "counts"
    assert metadata["input"]["shape"] == ["B", 256, 256, 1]
    assert metadata["input"]["dtype"] == "float32"
    assert metadata["input"]["unit"].startswith("counts per pixel")
    assert metadata["output"]["shape"] == ["B", 256, 256, 2]
    assert metadata["class_names"] == ["background", "metastasis"]
    assert metadata["normalisation"]["name"] == "square_root"
    assert metadata["normalisation"]["formula"].startswith("sqrt(c / m), m the mean")
    assert "not a medical device" in metadata["disclaimer"]


def test_metadata_tells_where_the_model_comes_from(workdir, stablehlo):
    metadata = read_metadata(stablehlo)
    assert metadata["config"] == json.loads((workdir / "config.json").read_text())
    assert metadata["model"]["step"] == 9
    assert metadata["model"]["model"] == "unet_res"
    assert metadata["model"]["trained_on_synthetic_data"] is True
    info = runtimes.load_file(stablehlo, "jax", isolated=False).info
    assert info["parameters_sha256"] == metadata["parameters_sha256"]
    assert metadata["model"].items() <= info.items()


def test_a_run_always_becomes_the_same_file(workdir, stablehlo):
    model, metadata = conversion.load_predict(workdir)
    assert conversion.write_stablehlo(model, metadata) == stablehlo.read_bytes()


def test_a_file_does_not_tell_where_its_makers_keep_their_files(stablehlo):
    with zipfile.ZipFile(stablehlo) as bundle:
        program = bundle.read("model.jax_export")
    assert len(program) > 1000
    assert b"site-packages" not in program and b".py" not in program


def test_a_bfloat16_run_is_exported_in_float32(workdir, stablehlo, tmp_path, capsys):
    write_run(tmp_path, make_config(dtype="bfloat16"), SPOTS)
    path = tmp_path / "model.stablehlo.zip"
    export.run(tmp_path, path)
    assert "float32; the run itself in bfloat16" in capsys.readouterr().out
    metadata = read_metadata(path)
    assert (metadata["dtype"], metadata["config"]["dtype"]) == ("float32", "bfloat16")
    counts = conversion.make_test_images((256, 256))[:1]
    half, single = (
        runtimes.load_file(file, "jax", isolated=False).predict(counts)
        for file in (path, stablehlo)
    )
    np.testing.assert_array_equal(half, single)  # their parameters are the same


def test_test_images_are_counts_of_two_exposures():
    first, second = conversion.make_test_images((256, 256))
    assert first.shape == (256, 256, 1) and first.dtype == np.float32
    assert (first == np.rint(first)).all() and first.min() == 0
    assert second.sum() / first.sum() == pytest.approx(4, rel=0.01)


@pytest.mark.parametrize("name", ["model.pt", "model", "model.stablehlo"])
def test_a_name_of_no_format_is_refused_before_anything_is_read(tmp_path, name):
    with pytest.raises(ModelFileError, match=r"ends in \.onnx or \.stablehlo\.zip"):
        export.run(tmp_path / "none", tmp_path / name)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ModelFileError, match="found no config.json. Check the path"):
        export.run(tmp_path, tmp_path / "model.stablehlo.zip")


def test_without_jax2onnx_the_error_tells_how_to_get_it(workdir, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    with pytest.raises(MissingPackageError, match=r"pip install '\.\[export\]'") as e:
        export.run(workdir, tmp_path / "model.onnx")
    assert len(str(e.value).splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_without_flatbuffers_the_error_tells_how_to_get_it(
    workdir, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "flatbuffers", None)
    with pytest.raises(MissingPackageError, match="pip install flatbuffers"):
        export.run(workdir, tmp_path / "model.stablehlo.zip")


def test_a_model_that_jax2onnx_cannot_convert_is_one_line(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise NotImplementedError("no counterpart of cumsum\nlong explanation")

    monkeypatch.setitem(sys.modules, "jax2onnx", SimpleNamespace(to_onnx=refuse))
    metadata = {
        "model": {"model": "unet", "spectjax_version": "1"},
        "input": {"name": "counts", "shape": ["B", 4, 4, 1]},
        "output": {"name": "probs"},
    }
    with pytest.raises(ExportError, match="unet: jax2onnx cannot.*of cumsum") as error:
        conversion.write_onnx(lambda x: x, metadata)
    assert len(str(error.value).splitlines()) == 1


def test_other_classes_than_ours_are_refused(tmp_path):
    write_run(tmp_path, make_config(**{"model.num_classes": 3}))
    with pytest.raises(ExportError, match="background, metastasis, found 3 classes"):
        export.run(tmp_path, tmp_path / "model.stablehlo.zip")


@pytest.mark.parametrize("error", [1.1e-4, -1.1e-4, np.nan])
def test_a_file_that_computes_something_else_is_not_written(
    workdir, tmp_path, monkeypatch, error
):
    right = runtimes.load_file

    def load_wrong(path, runtime, isolated):
        predict_probs = right(path, runtime, isolated=isolated).predict

        def predict_wrong(counts):
            probs = predict_probs(counts).copy()
            probs[-1, 200, 100, 1] += error
            return probs

        return SimpleNamespace(predict=predict_wrong)

    monkeypatch.setattr(runtimes, "load_file", load_wrong)
    path = tmp_path / "model.stablehlo.zip"
    path.write_bytes(b"an earlier one")
    with pytest.raises(ExportError, match="within 0.0001, found jax .* away. Nothing"):
        export.run(workdir, path)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"an earlier one"]


def test_a_file_that_nothing_can_check_is_refused(monkeypatch):
    def load_nothing(path, runtime, isolated):
        raise MissingPackageError(f"no {runtime}")

    monkeypatch.setattr(runtimes, "load_file", load_nothing)
    with pytest.raises(ExportError, match="found none. Install one: pip install onnx"):
        conversion.compare_runtimes(
            b"", "model.onnx", lambda x: x, np.zeros((2, 4, 4, 1))
        )


@NEEDS_JAX2ONNX
@pytest.mark.parametrize(
    ("name", "batch_norm", "normalisation"),
    [
        ("unet_res", True, "min_max"),
        pytest.param("unet", True, "min_max", marks=pytest.mark.slow),
        pytest.param("unet", False, "square_root", marks=pytest.mark.slow),
        pytest.param("unet_res", False, "square_root", marks=pytest.mark.slow),
    ],
)
def test_onnx_gives_the_probabilities_of_jax(
    tmp_path, key, name, batch_norm, normalisation
):
    import onnx

    config = make_config(
        **{
            "model.name": name,
            "model.batch_norm": batch_norm,
            "model.features": (3, 4),
            "data.normalisation": normalisation,
        }
    )
    task = create_task(config)
    variables = draw_live(jax.eval_shape(lambda: task.init(key, (16, 24))))
    info = {"model": name, "spectjax_version": "1"}
    metadata = make_metadata(config.to_dict(), info, parameters_sha256="0")
    metadata["input"]["shape"] = ["B", 16, 24, 1]
    path = tmp_path / "model.onnx"
    path.write_bytes(
        conversion.write_onnx(lambda x: task.predict(variables, x), metadata)
    )
    kinds = [node.op_type for node in onnx.load(path).graph.node]
    # The images and their mirror images on their way in and out, nothing between.
    assert kinds.count("Transpose") == 4 and kinds.count("ConvTranspose") == 2

    counts = np.random.default_rng(0).poisson(9, (3, 16, 24, 1)).astype(np.float32)
    expected = np.asarray(jax.jit(task.predict)(variables, counts))
    for runtime in filter(runtime_is_installed, ("onnxruntime", "openvino")):
        predict_probs = runtimes.load_file(path, runtime, isolated=False).predict
        for batch in (3, 1):
            np.testing.assert_allclose(
                predict_probs(counts[:batch]), expected[:batch], atol=2e-6
            )


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A classification run's folder and the program that it was exported as."""
    pytest.importorskip("flatbuffers")
    folder = tmp_path_factory.mktemp("classifier")
    config = make_config("specs_v7", **{"data.train_hw": SMALL_HW})
    with config.unlocked():
        config.model.update(SMALL_VGG)
    write_run(folder, config)
    export.run(folder, folder / "model.stablehlo.zip")
    return folder


def test_an_exported_classifier_gives_the_probabilities_of_the_run(classifier):
    counts = np.random.default_rng(0).poisson(9, (3, *SMALL_HW, 1)).astype(np.float32)
    expected = load_run(classifier).predict(counts)
    model = runtimes.load_file(
        classifier / "model.stablehlo.zip", "jax", isolated=False
    )
    assert (model.task, model.input_hw) == ("classification", SMALL_HW)
    for batch in (3, 1):
        found = model.predict(counts[:batch])
        np.testing.assert_allclose(found, expected[:batch], atol=1e-5)
    loaded = load_run(classifier)
    assert (loaded.task, loaded.input_hw) == ("classification", SMALL_HW)


def test_metadata_tells_what_a_classifier_takes_and_gives(classifier):
    metadata = read_metadata(classifier / "model.stablehlo.zip")
    assert metadata["task"] == "classification"
    assert metadata["class_names"] == ["normal", "metastasis"]
    assert metadata["input"]["shape"] == ["B", 48, 40, 1]
    assert metadata["output"]["shape"] == ["B", 2]
    assert metadata["output"]["axes"] == ["image", "class"]
    assert metadata["output"]["unit"].endswith("classes of an image sum to 1")


@NEEDS_JAX2ONNX
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == "specs_r34" else pytest.mark.slow)
        for name in SMALL_CLASSIFIERS
    ],
)
def test_onnx_gives_the_probabilities_of_a_classifier(tmp_path, name):
    config = make_config(name, **{"data.train_hw": SMALL_HW})
    with config.unlocked():
        config.model.update(SMALL_CLASSIFIERS[name])
    task = create_task(config)
    shapes = jax.eval_shape(lambda: task.init(jax.random.key(0), SMALL_HW))
    variables = draw_live(shapes)
    metadata = make_metadata(
        config.to_dict(),
        {"model": name, "spectjax_version": "1"},
        parameters_sha256="0",
    )
    path = tmp_path / "model.onnx"
    path.write_bytes(
        conversion.write_onnx(lambda x: task.predict(variables, x), metadata)
    )

    # Patches of 8x8 pixels, so that the smallest maps still differ.
    patches = np.random.default_rng(1).exponential(9, (3, 6, 5, 1))
    counts = np.kron(patches, np.ones((1, 8, 8, 1))).astype(np.float32)
    expected = np.asarray(jax.jit(task.predict)(variables, counts))
    assert expected.shape == (3, 2)
    assert np.ptp(expected[:, 1]) > 1e-3
    for runtime in filter(runtime_is_installed, ("onnxruntime", "openvino")):
        predict_probs = runtimes.load_file(path, runtime, isolated=False).predict
        for batch in (3, 1):
            np.testing.assert_allclose(
                predict_probs(counts[:batch]), expected[:batch], atol=1e-5
            )


@NEEDS_JAX2ONNX
def test_an_onnx_file_is_valid_and_names_its_parts(onnx_file, stablehlo):
    import onnx

    model = onnx.load(onnx_file)
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.input] == ["counts"]
    assert [value.name for value in model.graph.output] == ["probs"]
    assert model.producer_name == "spectjax"
    assert model.opset_import[0].version == 18
    entry, digest = model.metadata_props
    assert (digest.key, len(digest.value)) == ("spectjax_sha256", 64)
    assert entry.key == "spectjax"
    assert json.loads(entry.value) == read_metadata(stablehlo)


@NEEDS_JAX2ONNX
def test_export_tells_how_exact_the_file_is(workdir, tmp_path, capsys, recwarn):
    export.run(workdir, tmp_path / "model.onnx")
    out, err = capsys.readouterr()
    assert f"{tmp_path}/model.onnx: unet_res of step 9" in out
    assert "onnxruntime: answers within" in out
    assert f"--model={tmp_path}/model.onnx" in out
    assert err == "" and not recwarn.list


@NEEDS_JAX2ONNX
def test_all_runtimes_find_the_same_hotspots_in_a_real_scan(
    workdir, onnx_file, stablehlo, tmp_path, monkeypatch
):
    monkeypatch.setattr(picture_parts, "save_figure", lambda figure, path: None)
    scan = pathlib.Path(str(get_testdata_file("JPEG2000.dcm")))
    predict.run([scan], workdirs=[workdir], output_dir=tmp_path / "run")
    expected = read_hotspots(tmp_path / "run")
    assert expected
    for path, runtime in (
        (onnx_file, "onnxruntime"),
        (onnx_file, "openvino"),
        (stablehlo, "jax"),
    ):
        if not runtime_is_installed(runtime):
            continue
        predict.run([scan], model=path, runtime=runtime, output_dir=tmp_path / runtime)
        found = read_hotspots(tmp_path / runtime)
        for a, b in zip(expected, found, strict=True):
            assert abs(a["score"] - b["score"]) <= 1e-4
            assert (decode_rle(a["mask"]) == decode_rle(b["mask"])).all()


def read_hotspots(folder):
    document = json.loads((folder / "JPEG2000_anterior.json").read_text())
    return [
        {"score": hotspot["score"], "mask": hotspot["thorax"]["mask"]}
        for hotspot in document["hotspots"]
    ]


def test_help_need_not_wait_for_jax_or_onnx():
    code = (
        "import sys, spectjax.export; "
        "sys.exit(bool({'jax', 'onnx', 'jax2onnx', 'onnxruntime'} & {*sys.modules}))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
