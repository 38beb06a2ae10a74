"""Trained models, run by JAX, ONNX Runtime or OpenVINO; the last two without JAX.

A model comes from the folder of a training run or from a file that `spectjax.export`
wrote. Batch, height, width and class axes are B, H, W and K.
"""

import functools
import os
import pathlib
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from spectjax.answers import Answer, Predict
from spectjax.instances import Instances
from spectjax.limits import SCORES_BYTES
from spectjax.messages import UserError
from spectjax.provenance import ModelFileError, find_input_hw, parse_metadata
from spectjax.schema import read_json

ONNX = ".onnx"
STABLEHLO = ".stablehlo.zip"
RUNTIMES = ("jax", "onnxruntime", "openvino")
METADATA_KEY = "spectjax"  # of the ONNX model's metadata, whose value is JSON
EXPORTED = "model.jax_export"  # in the zip file, beside METADATA
METADATA = "metadata.json"

# By format; the first is the default.
RUNTIMES_FOR = {ONNX: ("onnxruntime", "openvino"), STABLEHLO: ("jax",)}


class MissingPackageError(UserError):
    """An optional package that is not installed; one line with the cure."""


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to run.

    Attributes:
        predict: maps counts, uint16 or float32, (B, H, W, 1), to what its task answers:
            "segmentation" class probabilities, float32, (B, H, W, K), "classification"
            (B, K), "instance_segmentation" `Instances` of B images.
        info: where the model comes from and what runs it, for reports.
        task: one of these three.
        input_hw: (H, W), the central part of a thorax's canvas that the model takes.
    """

    predict: Predict
    info: dict[str, Any]
    task: str
    input_hw: tuple[int, int]


def find_format(path: pathlib.Path) -> str:
    """Returns the format that a file's name tells, `ONNX` or `STABLEHLO`.

    Raises:
        ModelFileError: if the name ends in neither.
    """
    for suffix in RUNTIMES_FOR:
        if path.name.endswith(suffix):
            return suffix
    raise ModelFileError(
        f"{path}: expected a name that ends in {ONNX} or {STABLEHLO}, found "
        f"{path.name!r}. Choose the format by the name."
    )


def find_model(
    *, workdir: pathlib.Path | None, file: pathlib.Path | None, runtime: str | None
) -> Callable[[], LoadedModel]:
    """Returns the function that loads a model; what is quick is checked at once.

    Args:
        workdir: folder of a training run, or None.
        file: exported model, or None.
        runtime: one of `RUNTIMES`, or None: JAX for a run and for StableHLO, ONNX
            Runtime for ONNX.

    Raises:
        ModelFileError: if not one of `workdir` and `file` is given, if it is not what
            it should be, or if `runtime` does not run it.
    """
    if workdir is not None and file is None:
        check_run(workdir, runtime)
        return functools.partial(load_run, workdir)
    if file is not None and workdir is None:
        return functools.partial(load_file, file, choose_runtime(file, runtime))
    raise ModelFileError(
        "Expected --workdir=RUN, the folder of a training run, or --model=FILE, an "
        f"exported model; found {'both' if file else 'neither'}. Give one of them."
    )


def check_run(workdir: pathlib.Path, runtime: str | None = None) -> None:
    """Checks that `workdir` is a run's folder, which `runtime` can run.

    Raises:
        ModelFileError: if it is not.
    """
    if not (workdir / "config.json").is_file():
        raise ModelFileError(
            f"{workdir}: expected the folder of a training run, found no config.json. "
            "Train first: python -m spectjax.main --config=configs/unet_res.py:quick "
            f"--workdir={workdir}"
        )
    if runtime in RUNTIMES_FOR[ONNX]:
        raise ModelFileError(
            f"{workdir}: expected an {ONNX} file for --runtime={runtime}, found a run. "
            f"Export it: python -m spectjax.export --workdir={workdir} "
            f"--output=model{ONNX}; then give --model=model{ONNX} for --workdir."
        )


def choose_runtime(file: pathlib.Path, runtime: str | None) -> str:
    """Returns what shall run an exported model: `runtime`, or its format's default.

    Raises:
        ModelFileError: if there is no such file or `runtime` does not run it.
    """
    runtimes = RUNTIMES_FOR[find_format(file)]
    if runtime is not None and runtime not in runtimes:
        raise ModelFileError(
            f"{file}: expected --runtime={' or '.join(runtimes)} for this file, found "
            f"--runtime={runtime}. Leave --runtime out for {runtimes[0]}."
        )
    if not file.is_file():
        raise ModelFileError(
            f"{file}: expected a model file, found none. Write it: python -m "
            f"spectjax.export --workdir=RUN --output={file}"
        )
    return runtime or runtimes[0]


def load_run(workdir: pathlib.Path) -> LoadedModel:
    """Returns a run's newest model, run by JAX.

    Raises:
        MissingPackageError: if JAX is not installed, or what else training needs.
        ValueError: if there is no checkpoint, or it cannot be read.
    """
    try:
        # Loads jax, which takes seconds: not before the command line is understood.
        import jax

        from spectjax.runs import restore_model
        from spectjax.startup import enable_compilation_cache
    except ImportError as error:
        raise explain_missing("jax", error) from error
    enable_compilation_cache()
    model = restore_model(workdir)
    info = model.info | {"trained_on_synthetic_data": is_trained_on_synthetic(workdir)}
    config = model.config.to_dict()
    return LoadedModel(
        model.predict_instances or model.predict_probs,
        info | {"runtime": f"jax {jax.__version__}"},
        task=config["task"],
        input_hw=find_input_hw(config),
    )


def is_trained_on_synthetic(workdir: pathlib.Path) -> bool | None:
    """Returns whether a run learnt from simulated patients.

    None if it is not evaluated yet: its scores tell.
    """
    metrics = workdir / "eval" / "metrics.json"
    if not metrics.is_file():
        return None
    document = read_json(
        metrics,
        {"data": {"synthetic": bool}},
        what="the scores of a finished run",
        remedy=f"Remove {metrics.parent}; training again writes it.",
        most=SCORES_BYTES,
        error=ModelFileError,
    )
    return bool(document["data"]["synthetic"])


def load_file(path: pathlib.Path, runtime: str) -> LoadedModel:
    """Returns an exported model.

    Args:
        path: file that `spectjax.export` wrote.
        runtime: what runs it, as `choose_runtime` returns it.

    Raises:
        ModelFileError: if the file is damaged, not ours, or of another format version.
        MissingPackageError: if the runtime is not installed.
    """
    run, text, version = _OPENERS[runtime](path)
    metadata = parse_metadata(path, text)
    expected = tuple(metadata["input"]["shape"][1:])

    def predict(counts: np.ndarray) -> Answer:
        if counts.ndim != 4 or counts.shape[1:] != expected:
            raise ModelFileError(
                f"{path}: expected counts of shape (B, {', '.join(map(str, expected))})"
                f", found {counts.shape}. Crop each image as crop_thorax does."
            )
        answer = run(np.ascontiguousarray(counts, dtype=np.float32))
        return Instances(**answer) if isinstance(answer, dict) else answer

    return LoadedModel(
        predict,
        metadata["model"]
        | {
            "parameters_sha256": metadata["parameters_sha256"],
            "runtime": f"{runtime} {version}",
        },
        task=metadata["task"],
        input_hw=expected[:2],
    )


def forbid_telemetry() -> None:
    """Keeps ONNX Runtime and OpenVINO from reporting their use over the internet.

    Both do so as soon as they are imported, without asking: to be called before that.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    # OpenVINO does without this package where it is absent.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


# What a runtime makes of a file: a function from float32 counts to probabilities or to
# the arrays of `Instances` by their names, the metadata if there is any, and the
# runtime's own version.
_Opened = tuple[Callable[[np.ndarray], Any], str | None, str]


def _open_onnxruntime(path: pathlib.Path) -> _Opened:
    forbid_telemetry()
    try:
        import onnxruntime
    except ImportError as error:
        raise explain_missing("onnxruntime", error) from error
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    # By default it counts the machine's cores, not those that this process may use.
    cores = _count_usable_cores()
    if cores < (os.cpu_count() or 1):
        options.intra_op_num_threads = cores
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its types have no base of their own
        raise _explain_damage(path, error) from error
    metadata: Mapping[str, str] = session.get_modelmeta().custom_metadata_map
    name = session.get_inputs()[0].name

    def run(counts: np.ndarray) -> np.ndarray:
        return session.run(None, {name: counts})[0]

    return run, metadata.get(METADATA_KEY), onnxruntime.__version__


def _open_openvino(path: pathlib.Path) -> _Opened:
    forbid_telemetry()
    try:
        import openvino
    except ImportError as error:
        raise explain_missing("openvino", error) from error
    core = openvino.Core()
    try:
        model = core.read_model(str(path))
    except RuntimeError as error:
        raise _explain_damage(path, error) from error
    place = ["framework", METADATA_KEY]
    text = model.get_rt_info(place).astype(str) if model.has_rt_info(place) else None
    settings = {
        # Else it computes in bfloat16 where the processor can: no 1e-4 then.
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }

    @functools.lru_cache(maxsize=2)  # a full batch and the last one
    def compile_for(shape: tuple[int, ...]) -> Any:
        # Faster by a quarter than one program for every batch size.
        fixed = model.clone()
        fixed.reshape(list(shape))
        return core.compile_model(fixed, "CPU", settings)

    def run(counts: np.ndarray) -> np.ndarray:
        return compile_for(counts.shape)(counts)[0]

    return run, text, openvino.__version__.partition("-")[0]


def _open_stablehlo(path: pathlib.Path) -> _Opened:
    try:
        import flatbuffers  # noqa: F401 - jax.export reads with it, and jax lacks it
        import jax
        import jax.export

        from spectjax.ops.convolution import compiler_options
    except ImportError as error:
        raise explain_missing("jax", error) from error
    try:
        with zipfile.ZipFile(path) as bundle:
            names = bundle.namelist()
            text = bundle.read(METADATA).decode() if METADATA in names else None
            exported = jax.export.deserialize(bytearray(bundle.read(EXPORTED)))
    except Exception as error:  # zipfile, zlib and flatbuffers raise many types
        raise _explain_damage(path, error) from error
    call = jax.jit(exported.call, compiler_options=compiler_options())
    return (
        lambda counts: jax.tree.map(np.asarray, call(counts)),
        text,
        jax.__version__,
    )


_OPENERS: dict[str, Callable[[pathlib.Path], _Opened]] = {
    "jax": _open_stablehlo,
    "onnxruntime": _open_onnxruntime,
    "openvino": _open_openvino,
}


def _count_usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def explain_missing(runtime: str, error: ImportError) -> MissingPackageError:
    """Returns the error that says what to install for a runtime."""
    cure = f"pip install {runtime}"
    if runtime == "jax":
        cure = "pip install . in the clone, or give an ONNX file as --model"
    return MissingPackageError(
        f"--runtime={runtime} needs packages that cannot be imported here ({error}). "
        f"Install them: {cure}"
    )


def _explain_damage(path: pathlib.Path, error: Exception) -> ModelFileError:
    return ModelFileError(
        f"{path}: expected a model that spectjax exported, found a file that cannot be "
        f"read ({summarise(error)}). Copy it again, or write it again: "
        f"python -m spectjax.export --workdir=RUN --output={path}"
    )


def summarise(error: Exception) -> str:
    """Returns what a library says of its error, in a few words of one line."""
    lines = [line.strip() for line in str(error).splitlines()]
    # OpenVINO first names the lines of its source.
    said = [line for line in lines if line and not line.startswith("Exception from")]
    return (said or [type(error).__name__])[0].rstrip(".:")[:200]
