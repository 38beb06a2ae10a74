"""Trained models, run by JAX, ONNX Runtime or OpenVINO; the last two without JAX.

A model comes from the folder of a training run or from a file that `spectjax.export`
wrote. A file is a program, and others may have written it: it runs in a process of its
own, limited in time and memory. Batch, height, width and class axes are B, H, W and K.
"""

import functools
import os
import pathlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from spectjax.hotspots import Instances
from spectjax.inference.answers import Answer, Predict
from spectjax.inference.engines import (
    EngineError,
    MissingPackageError,
    Run,
    explain_missing,
    forbid_telemetry,
    open_model,
    summarise,
)
from spectjax.inference.metadata import ModelFileError, find_input_hw
from spectjax.inference.model_files import (
    EXPORTED,
    METADATA,
    METADATA_KEY,
    ONNX,
    STABLEHLO,
    ModelFile,
    explain_damage,
    find_format,
    read_model_file,
)
from spectjax.inference.sandbox import Child, ChildError
from spectjax.system.limits import (
    ANSWER_BYTES,
    ANSWER_SECONDS,
    MODEL_MEMORY_BYTES,
    MODEL_MEMORY_BYTES_A_CORE,
    MODEL_MEMORY_FACTOR,
    OPEN_SECONDS,
    SCORES_BYTES,
)
from spectjax.system.schema import read_json
from spectjax.tasks import TASKS

__all__ = [
    "EXPORTED",
    "METADATA",
    "METADATA_KEY",
    "ONNX",
    "STABLEHLO",
    "LoadedModel",
    "MissingPackageError",
    "ModelFileError",
    "explain_missing",
    "find_format",
    "forbid_telemetry",
    "summarise",
]

RUNTIMES = ("jax", "onnxruntime", "openvino")

_ROUNDING = 1e-3  # so far beyond 0 or 1 may probabilities be

# By format; the first is the default.
RUNTIMES_FOR = {ONNX: ("onnxruntime", "openvino"), STABLEHLO: ("jax",)}


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
        from spectjax.system.jax_setup import start_jax

        start_jax()
        import jax

        from spectjax.training.run import restore_model
    except ImportError as error:
        raise explain_missing("jax", error) from error
    model = restore_model(workdir)
    info = model.info | {"trained_on_synthetic_data": is_trained_on_synthetic(workdir)}
    config = model.config.to_dict()
    return LoadedModel(
        model.predict,
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


def load_file(
    path: pathlib.Path, runtime: str, *, isolated: bool = True
) -> LoadedModel:
    """Returns an exported model.

    Args:
        path: file that `spectjax.export` wrote.
        runtime: what runs it, as `choose_runtime` returns it.
        isolated: run it in a process of its own; False for what this very process has
            written.

    Raises:
        ModelFileError: if the file is damaged, not ours, or of another format version.
        MissingPackageError: if the runtime is not installed.
    """
    file = read_model_file(path)
    if not file.verified:
        print(
            f"note: {path}: an older version of spectjax wrote it without a digest, so "
            "it could not be checked for damage. Export it again.",
            file=sys.stderr,
        )
    run, version = (_open_apart if isolated else _open_here)(path, runtime, file)
    metadata = file.metadata
    expected = tuple(metadata["input"]["shape"][1:])

    def predict(counts: np.ndarray) -> Answer:
        if counts.ndim != 4 or counts.shape[1:] != expected:
            raise ModelFileError(
                f"{path}: expected counts of shape (B, {', '.join(map(str, expected))})"
                f", found {counts.shape}. Crop each image as crop_thorax does."
            )
        arrays = run(np.ascontiguousarray(counts, dtype=np.float32))
        return _take_answer(path, metadata["task"], counts.shape, arrays)

    return LoadedModel(
        predict,
        metadata["model"]
        | {
            "parameters_sha256": metadata["parameters_sha256"],
            "verified": file.verified,
            "runtime": f"{runtime} {version}",
        },
        task=metadata["task"],
        input_hw=expected[:2],
    )


def _open_here(path: pathlib.Path, runtime: str, file: ModelFile) -> tuple[Run, str]:
    """Opens a model in this process."""
    try:
        run, version = open_model(runtime, file.program)
    except EngineError as error:
        raise explain_damage(path, str(error)) from error

    def run_here(counts: np.ndarray) -> dict[str, np.ndarray]:
        try:
            return run(counts)
        except EngineError as error:
            raise explain_damage(path, str(error)) from error

    return run_here, version


def _open_apart(path: pathlib.Path, runtime: str, file: ModelFile) -> tuple[Run, str]:
    """Opens a model in a process of its own."""
    memory = MODEL_MEMORY_BYTES + MODEL_MEMORY_BYTES_A_CORE * (os.cpu_count() or 1)
    memory += MODEL_MEMORY_FACTOR * len(file.program)
    child = Child("spectjax.inference.engines", memory=memory)

    def ask(
        header: dict[str, Any], part: bytes | memoryview, seconds: float, most: int
    ) -> tuple[dict[str, Any], list[bytes]]:
        try:
            return child.ask(header, [part], seconds=seconds, most=most)
        except ChildError as error:
            raise explain_damage(path, str(error)) from error

    opened, _ = ask({"runtime": runtime}, file.program, OPEN_SECONDS, 0)
    if "missing" in opened:
        raise MissingPackageError(opened["missing"])
    shapes_seen = set()

    def run(counts: np.ndarray) -> dict[str, np.ndarray]:
        known = counts.shape in shapes_seen or runtime != "jax"
        shapes_seen.add(counts.shape)
        header, parts = ask(
            {"shape": list(counts.shape)},
            counts.reshape(-1).view(np.uint8).data,
            ANSWER_SECONDS if known else OPEN_SECONDS,
            ANSWER_BYTES * len(counts),
        )
        try:
            return _make_arrays(header["arrays"], parts)
        except (KeyError, TypeError, ValueError) as error:
            raise explain_damage(path, "gave what is no answer") from error

    return run, str(opened.get("version"))


def _make_arrays(described: Any, parts: list[bytes]) -> dict[str, np.ndarray]:
    """Returns the arrays that another process describes.

    Raises:
        TypeError, ValueError: if the bytes are no such arrays.
    """
    arrays = {}
    for (name, dtype, shape), part in zip(described, parts, strict=True):
        if dtype not in ("float32", "int32", "bool"):
            raise ValueError(f"numbers of {dtype}")
        arrays[str(name)] = np.frombuffer(bytearray(part), dtype).reshape(shape)
    return arrays


def _take_answer(
    path: pathlib.Path,
    task: str,
    shape: tuple[int, ...],
    arrays: dict[str, np.ndarray],
) -> Answer:
    """Returns what a model answers about counts of a shape.

    Raises:
        ModelFileError: if its arrays are others than those of its task.
    """
    batch, height, width, _ = shape
    row = TASKS[task]
    classes = len(row.class_names())
    found = {name: (x.dtype.name, x.shape) for name, x in arrays.items()}
    if row.answer != "instances":
        pixels = (height, width) if row.answer == "pixels" else ()
        expected = {"": ("float32", (batch, *pixels, classes))}
        if found == expected:
            _check_probabilities(path, arrays[""])
            return arrays[""]
    else:
        rows = (batch, *arrays["scores"].shape[1:2]) if "scores" in arrays else (batch,)
        expected = {
            "boxes": ("float32", (*rows, 4)),
            "scores": ("float32", rows),
            "labels": ("int32", rows),
            "valid": ("bool", rows),
            "masks": ("bool", (*rows, height, width)),
        }
        if found == expected and len(rows) == 2:
            _check_probabilities(path, arrays["scores"])
            return Instances(**arrays)
    raise explain_damage(path, f"answers {_list(found)}, not {_list(expected)}")


def _check_probabilities(path: pathlib.Path, numbers: np.ndarray) -> None:
    """Refuses what is no probability; what is not finite is said of one image.

    Raises:
        ModelFileError: if a number is far below 0 or above 1.
    """
    known = numbers[np.isfinite(numbers)]
    if known.size and not -_ROUNDING <= known.min() <= known.max() <= 1 + _ROUNDING:
        raise explain_damage(
            path, f"gives probabilities from {known.min():.3g} to {known.max():.3g}"
        )


def _list(arrays: dict[str, tuple[str, tuple[int, ...]]]) -> str:
    found = [f"{name[:20]} {kind} {shape}" for name, (kind, shape) in arrays.items()]
    return ", ".join(found[:5]).strip()
