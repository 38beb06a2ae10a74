"""Tests of `runtimes`, with a model written by hand for each format."""

import configparser
import json
import os
import pathlib
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from pydicom.data import get_testdata_file

from spectjax.imaging.hotspots import Instances
from spectjax.inference import runtimes
from spectjax.inference.engines import MissingPackageError, open_model
from spectjax.inference.metadata import ModelFileError
from tests.support.model_files import (
    CLASSIFIER,
    MODEL_INFO,
    expected_probs,
    make_metadata,
    runtime_is_installed,
    write_calling_stablehlo,
    write_endless_onnx,
    write_instances,
    write_onnx,
    write_stablehlo,
)

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(params=runtimes.RUNTIMES)
def runtime(request):
    if request.param != "jax":
        # Not the runtime itself: imported here, it would report to its makers.
        pytest.importorskip("onnx")
        if not runtime_is_installed(request.param):
            pytest.skip(f"{request.param} is not installed")
    return request.param


def write_model(folder, runtime, metadata, hw=(4, 6), **kind):
    if runtime == "jax":
        path = folder / "model.stablehlo.zip"
        write_stablehlo(path, metadata, hw, **kind)
    else:
        path = folder / "model.onnx"
        write_onnx(path, metadata, hw, **kind)
    return path


def make_counts(batch):
    """Counts from 0 to 63, in another order in every image."""
    counts = [np.random.default_rng(i).integers(0, 64, (4, 6, 1)) for i in range(batch)]
    return np.stack(counts).astype(np.float32)


def test_find_model_wants_no_run_and_a_file(tmp_path):
    with pytest.raises(ModelFileError, match="found both"):
        runtimes.find_model(workdirs=[tmp_path], file=tmp_path / "a.onnx", runtime=None)


def test_find_model_asks_for_an_export_where_a_run_is_given(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelFileError, match="spectjax.export --workdir=.*--model="):
        runtimes.find_model(workdirs=[tmp_path], file=None, runtime="openvino")


@pytest.mark.parametrize(
    ("name", "runtime", "expected"),
    [
        ("a.onnx", None, "onnxruntime"),
        ("a.onnx", "openvino", "openvino"),
        ("a.stablehlo.zip", None, "jax"),
    ],
)
def test_choose_runtime_goes_by_the_format(tmp_path, name, runtime, expected):
    (tmp_path / name).touch()
    assert runtimes.choose_runtime(tmp_path / name, runtime) == expected


@pytest.mark.parametrize(
    ("name", "runtime", "message"),
    [
        ("a.onnx", "jax", "--runtime=onnxruntime or openvino for this file, found"),
        ("a.stablehlo.zip", "openvino", "expected --runtime=jax for this file"),
        ("b.onnx", None, "expected a model file, found none. Write it: python -m"),
    ],
)
def test_choose_runtime_says_what_would_do(tmp_path, name, runtime, message):
    (tmp_path / "a.onnx").touch()
    with pytest.raises(ModelFileError, match=message):
        runtimes.choose_runtime(tmp_path / name, runtime)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_runtime_that_is_not_installed_tells_how_to_get_it(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingPackageError, match=f"pip install {name}$") as caught:
        open_model(name, b"")
    assert len(str(caught.value).splitlines()) == 1


def test_without_jax_the_error_points_to_onnx(monkeypatch, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    load_run = runtimes.find_model(workdirs=[tmp_path], file=None, runtime=None)
    monkeypatch.setitem(sys.modules, "jax", None)
    for load in (load_run, lambda: open_model("jax", b"")):
        with pytest.raises(MissingPackageError, match="pip install .* or give an ONNX"):
            load()


def test_load_file_gives_the_probabilities_worked_out_by_hand(tmp_path, runtime):
    path = write_model(tmp_path, runtime, make_metadata())
    predict_probs = runtimes.load_file(path, runtime, isolated=False).predict
    for batch in (1, 3, 2):
        counts = make_counts(batch)
        probs = predict_probs(counts)
        assert (probs.shape, probs.dtype) == ((batch, 4, 6, 2), np.float32)
        np.testing.assert_allclose(probs, expected_probs(counts), atol=1e-6)


def test_load_file_gives_a_classifiers_probabilities(tmp_path, runtime):
    path = write_model(tmp_path, runtime, make_metadata(**CLASSIFIER), whole=True)
    model = runtimes.load_file(path, runtime, isolated=False)
    assert (model.task, model.input_hw) == ("classification", (4, 6))
    for batch in (1, 3):
        counts = make_counts(batch)
        metastasis = counts.mean(axis=(1, 2, 3), dtype=np.float64) / 64
        expected = np.stack([1 - metastasis, metastasis], axis=1)
        np.testing.assert_allclose(model.predict(counts), expected, atol=1e-6)


def test_load_file_takes_integers_and_strided_arrays(tmp_path, runtime):
    path = write_model(tmp_path, runtime, make_metadata())
    predict_probs = runtimes.load_file(path, runtime, isolated=False).predict
    counts = make_counts(2)
    for same in (counts.astype(np.uint16), np.asfortranarray(counts)):
        np.testing.assert_allclose(
            predict_probs(same), expected_probs(counts), atol=1e-6
        )


def test_load_file_keeps_earlier_results(tmp_path, runtime):
    path = write_model(tmp_path, runtime, make_metadata())
    predict_probs = runtimes.load_file(path, runtime, isolated=False).predict
    first = predict_probs(make_counts(1))
    predict_probs(np.zeros((1, 4, 6, 1), np.float32))
    np.testing.assert_allclose(first, expected_probs(make_counts(1)), atol=1e-6)


def test_load_file_tells_where_the_model_comes_from(tmp_path, runtime):
    path = write_model(tmp_path, runtime, make_metadata())
    info = runtimes.load_file(path, runtime, isolated=False).info
    assert info.pop("runtime").startswith(f"{runtime} ")
    assert info == MODEL_INFO | {"parameters_sha256": "ab" * 32, "verified": False}


@pytest.mark.parametrize("shape", [(1, 6, 4, 1), (4, 6, 1), (1, 4, 6, 3), (1, 8, 8, 1)])
def test_load_file_refuses_images_of_another_shape(tmp_path, runtime, shape):
    path = write_model(tmp_path, runtime, make_metadata())
    with pytest.raises(
        ModelFileError, match=r"model\..*expected counts of shape \(B, 4, 6, 1\), found"
    ):
        runtimes.load_file(path, runtime, isolated=False).predict(
            np.zeros(shape, np.float32)
        )


def test_a_model_from_elsewhere_is_refused(tmp_path, runtime):
    path = write_model(tmp_path, runtime, None)
    with pytest.raises(ModelFileError, match="found one without its metadata"):
        runtimes.load_file(path, runtime, isolated=False)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ([], "expected spectjax's metadata, found '\\[\\]'"),
        ({"format": 1}, "expected spectjax's metadata"),
        ({"format": 1, "class_names": []}, "expected spectjax's metadata"),
        (make_metadata(format=2), "expected metadata of format 1, found 2"),
        (
            make_metadata(class_names=["background", "metastasis", "fracture"]),
            "classes background, metastasis, found .*fracture.* wrote it, 0.0.7",
        ),
        (
            make_metadata(task="classification"),
            "classes normal, metastasis, found background, metastasis. Use the ver",
        ),
        (
            make_metadata(task="detection"),
            "for segmentation, instance_segmentation, classification, skeleton, found",
        ),
    ],
)
def test_metadata_that_cannot_be_used_is_refused(tmp_path, runtime, metadata, message):
    path = write_model(tmp_path, runtime, metadata)
    with pytest.raises(ModelFileError, match=message):
        runtimes.load_file(path, runtime, isolated=False)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_file_that_was_cut_off_is_refused(tmp_path, runtime, share):
    path = write_model(tmp_path, runtime, make_metadata())
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ModelFileError, match=r"model\..*export --workdir=RUN") as error:
        runtimes.load_file(path, runtime, isolated=False)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("content", [b"", b"no model at all, " * 100])
def test_a_file_of_something_else_is_refused(tmp_path, runtime, content):
    path = write_model(tmp_path, runtime, make_metadata())
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"model\..*export --workdir=RUN"):
        runtimes.load_file(path, runtime, isolated=False)


def test_a_changed_byte_in_a_zip_file_is_noticed(tmp_path):
    path = write_model(tmp_path, "jax", make_metadata())
    with zipfile.ZipFile(path) as bundle:
        program = bundle.read("model.jax_export")
    content = bytearray(path.read_bytes())
    content[content.index(program) + len(program) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="Bad CRC-32"):
        runtimes.load_file(path, "jax", isolated=False)


# What a hospital's PC need not have; an import of it is an error there. Python runs it
# at the start of every process that finds it.
WITHOUT_JAX = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {
            "jax", "jaxlib", "flax", "optax", "orbax", "array_record", "grain",
            "ml_collections", "tensorflow_datasets", "tensorboardX", "jax2onnx",
            "onnx",
        }:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
"""


@pytest.mark.parametrize(
    ("runtime", "kind", "found"),
    [("onnxruntime", CLASSIFIER, "diagnosis"), ("openvino", {}, "hotspots")],
    indirect=["runtime"],
)
def test_predict_with_an_onnx_file_needs_no_jax(tmp_path, runtime, kind, found):
    metadata = make_metadata((256, 256), **kind)
    path = write_model(tmp_path, runtime, metadata, (256, 256), whole=bool(kind))
    home, setting = tmp_path / "home", tmp_path / "setting"
    home.mkdir()
    setting.mkdir()
    (setting / "sitecustomize.py").write_text(WITHOUT_JAX)
    scan = get_testdata_file("JPEG2000.dcm")
    subprocess.run(
        [sys.executable, "-m", "spectjax.predict", f"--model={path}"]
        + [f"--runtime={runtime}", f"--output_dir={tmp_path / 'out'}", str(scan)],
        check=True,
        cwd=ROOT,
        env=os.environ
        | {"HOME": str(home), "MPLCONFIGDIR": str(tmp_path)}
        | {"PYTHONPATH": str(setting)},
    )
    document = json.loads((tmp_path / "out" / "JPEG2000_anterior.json").read_text())
    assert document["model"]["runtime"].startswith(runtime)
    assert document[found]
    # Nobody was told that a hospital runs a model.
    assert not list(home.rglob("*"))


def test_what_is_installed_without_jax_is_asked_for_as_elsewhere():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    everything = config["options"]["install_requires"].splitlines()
    extra = config["options.extras_require"]["onnxruntime"].splitlines()
    lines = (ROOT / "requirements-predict.txt").read_text().splitlines()
    wanted = {line for line in lines if not line.startswith("#")}
    assert wanted <= {*everything, *extra}
    assert not any("jax" in line or "flax" in line for line in wanted)


def test_an_exported_model_may_give_instances(tmp_path):
    path = tmp_path / "model.stablehlo.zip"
    write_instances(path, (120, 110))
    model = runtimes.load_file(path, "jax", isolated=False)
    assert (model.task, model.input_hw) == ("instance_segmentation", (120, 110))
    for batch in (1, 3):
        found = model.predict(np.zeros((batch, 120, 110, 1), np.uint16))
        assert isinstance(found, Instances)
        assert all(isinstance(each, np.ndarray) for each in found)
        assert found.scores.tolist() == [[0.75, 0.25]] * batch
        assert found.masks.sum(axis=(2, 3)).tolist() == [[24, 100]] * batch


def test_a_file_runs_in_a_process_of_its_own(tmp_path, runtime):
    path = write_model(tmp_path, runtime, make_metadata())
    model = runtimes.load_file(path, runtime)
    assert model.info["runtime"].startswith(f"{runtime} ")
    for batch in (1, 3):
        counts = make_counts(batch).astype(np.uint16)
        probs = model.predict(counts)
        np.testing.assert_allclose(probs, expected_probs(counts), atol=1e-6)
        probs[:] = 0  # what is given belongs to whoever asked


def test_instances_come_out_of_a_process_of_their_own(tmp_path):
    path = tmp_path / "model.stablehlo.zip"
    write_instances(path, (120, 110))
    found = runtimes.load_file(path, "jax").predict(
        np.zeros((2, 120, 110, 1), np.float32)
    )
    assert isinstance(found, Instances)
    assert found.scores.tolist() == [[0.75, 0.25]] * 2
    assert found.masks.sum(axis=(2, 3)).tolist() == [[24, 100]] * 2


def test_an_endless_model_is_ended_in_one_line(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    path = tmp_path / "model.onnx"
    write_endless_onnx(path, make_metadata())
    model = runtimes.load_file(path, "onnxruntime")
    monkeypatch.setattr(runtimes, "ANSWER_SECONDS", 0.5)
    with pytest.raises(ModelFileError, match=r"model\.onnx: .*took more than 0\.5 s"):
        model.predict(make_counts(1))


@pytest.mark.parametrize(
    ("target", "isolated"),
    [
        ("xla_ffi_python_cpu_callback", True),
        ("xla_ffi_python_cpu_callback", False),
        ("spectjax_moments", False),
        ("Sharding2", False),
    ],
)
def test_a_program_that_calls_out_of_itself_is_refused(tmp_path, target, isolated):
    path = tmp_path / "model.stablehlo.zip"
    write_calling_stablehlo(path, make_metadata(), target)
    with pytest.raises(
        ModelFileError, match=rf"asks for what no .*: custom call {target}\. Copy"
    ):
        runtimes.load_file(path, "jax", isolated=isolated)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("JAX_PLATFORMS", "cuda"), ("JAX_ENABLE_X64", "maybe"), ("XLA_FLAGS", "--no")],
)
def test_a_setting_that_keeps_jax_from_computing_there_is_told_here(
    tmp_path, monkeypatch, variable, value
):
    path = tmp_path / "model.stablehlo.zip"
    write_stablehlo(path, make_metadata())
    monkeypatch.setenv(variable, value)
    with pytest.raises(MissingPackageError, match=f"^({variable}|jax does).*nset"):
        runtimes.load_file(path, "jax")


def test_a_package_that_is_missing_there_is_told_here(tmp_path, monkeypatch):
    path = tmp_path / "model.stablehlo.zip"
    write_stablehlo(path, make_metadata())
    (tmp_path / "flatbuffers.py").write_text("raise ImportError('no flatbuffers')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(MissingPackageError, match="no flatbuffers.*give an ONNX file"):
        runtimes.load_file(path, "jax")


def test_answers_of_another_shape_are_refused(tmp_path, runtime):
    metadata = make_metadata()
    path = write_model(tmp_path, runtime, metadata, whole=True)  # of a classifier
    model = runtimes.load_file(path, runtime, isolated=False)
    with pytest.raises(ModelFileError, match=r"answers float32 \(1, 2\), not .*4, 6"):
        model.predict(make_counts(1))


def test_numbers_that_are_no_probabilities_are_refused(tmp_path, runtime):
    path = write_model(tmp_path, runtime, make_metadata())
    model = runtimes.load_file(path, runtime, isolated=False)
    with pytest.raises(ModelFileError, match=r"probabilities from -0\.25 to 1\.25"):
        model.predict(np.full((1, 4, 6, 1), -16.0))


def test_an_old_file_is_read_and_said_not_to_be_checked(tmp_path, runtime, capsys):
    path = write_model(tmp_path, runtime, make_metadata())
    model = runtimes.load_file(path, runtime, isolated=False)
    assert model.info["verified"] is False
    assert "could not be checked for damage" in capsys.readouterr().err
