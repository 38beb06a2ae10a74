"""Trained models, run by JAX, ONNX Runtime or OpenVINO; the last two without JAX.

A model comes from the folder of a training run, from a file that `spectjax.export`
wrote, or with the package. A file is a program, and others may have written it: it runs
in a process of its own, limited in time and memory. Batch, height, width and class axes
are B, H, W and K.
"""

import contextlib
import functools
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from spectjax.imaging.hotspots import AnswerError
from spectjax.inference.answers import Answer, read_answer
from spectjax.inference.engines import (
    EngineError,
    MissingPackageError,
    Opened,
    explain_missing,
    open_model,
)
from spectjax.inference.ensembles import check_agreement, combine
from spectjax.inference.metadata import ModelFileError
from spectjax.inference.model_files import (
    ONNX,
    STABLEHLO,
    explain_damage,
    find_format,
    read_model_file,
)
from spectjax.inference.ready import FOLDER, WHOLE_BODY, load_ready, read_document
from spectjax.inference.regions import add_regions
from spectjax.inference.sandbox import Child, ChildError
from spectjax.inference.trained import (
    TrainedModel,
    check_run,
    load_run,
    parse_operation,
)
from spectjax.system.jax_setup import start_jax
from spectjax.system.limits import (
    ANSWER_BYTES,
    ANSWER_SECONDS,
    MODEL_MEMORY_BYTES,
    MODEL_MEMORY_BYTES_A_CORE,
    MODEL_MEMORY_FACTOR,
    OPEN_SECONDS,
)

RUNTIMES = ("jax", "onnxruntime", "openvino")

# By format; the first is the default.
RUNTIMES_FOR = {ONNX: ("onnxruntime", "openvino"), STABLEHLO: ("jax",)}


def find_model(
    *,
    workdirs: Sequence[pathlib.Path],
    file: pathlib.Path | None,
    runtime: str | None,
    whole_body: bool = False,
) -> Callable[[], TrainedModel]:
    """Returns the function that loads a model; what is quick is checked at once.

    Args:
        workdirs: folders of training runs; of several the mean of what they say. None,
            and no `file`: the model that ships with the package.
        file: exported model, or None.
        runtime: one of `RUNTIMES`, or None: JAX for runs and for StableHLO, ONNX
            Runtime for ONNX.
        whole_body: of the models that ship, the one that looks at whole frames.

    Raises:
        ModelFileError: if two of `workdirs`, `file` and `whole_body` are given, if they
            are not what they should be, if `runtime` does not run them, or if the runs
            do not agree in task, classes and size of the images.
        MissingPackageError: if runs are given and what training needs is not installed.
    """
    if workdirs and file is not None:
        raise ModelFileError(
            "Expected --workdir=RUN, the folder of a training run, or --model=FILE, an "
            "exported model; found both. Give one of them, or none for the model that "
            "ships with spectjax."
        )
    if whole_body and (workdirs or file is not None):
        raise ModelFileError(
            "--whole_body: expected neither --workdir nor --model, found one of them. "
            "It is for the model that ships with spectjax; others know whether they "
            "look at whole bodies. Leave --whole_body out."
        )
    if file is not None:
        return functools.partial(load_file, file, choose_runtime(file, runtime))
    if not workdirs:
        if runtime in RUNTIMES_FOR[ONNX]:
            raise ModelFileError(
                f"--runtime={runtime}: expected --model=FILE, an {ONNX} file, found "
                "none; jax runs the model that ships with spectjax. Leave --runtime "
                "out, or give --model."
            )
        folder = WHOLE_BODY if whole_body else FOLDER
        read_document(folder)  # is it there?
        return functools.partial(_load_ready, folder)
    for workdir in workdirs:
        check_run(workdir)
        if runtime in RUNTIMES_FOR[ONNX]:
            raise ModelFileError(
                f"{workdir}: expected an {ONNX} file for --runtime={runtime}, found a "
                f"run. Export it: python -m spectjax.export --workdir={workdir} "
                f"--output=model{ONNX}; then give --model=model{ONNX} for --workdir."
            )
    if len(workdirs) > 1:
        with _naming_jax():
            check_agreement(workdirs)
    return functools.partial(_load_runs, workdirs)


def _load_runs(workdirs: Sequence[pathlib.Path]) -> TrainedModel:
    """Returns a run's model, or several that agree as one."""
    with _naming_jax():
        start_jax()
        members = [load_run(workdir) for workdir in workdirs]
    if len(members) == 1:
        return members[0]
    return combine(members, [workdir.resolve().name for workdir in workdirs])


def _load_ready(folder: pathlib.Path) -> TrainedModel:
    """Returns a model that ships with the package."""
    with _naming_jax():
        return load_ready(folder)


@contextlib.contextmanager
def _naming_jax() -> Iterator[None]:
    """Says what to install where something that runs need is missing."""
    try:
        yield
    except ImportError as error:
        raise explain_missing("jax", error) from error


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


def load_file(
    path: pathlib.Path, runtime: str, *, isolated: bool = True
) -> TrainedModel:
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
    with _blaming(path):
        run, version = (_open_apart if isolated else open_model)(runtime, file.program)
    metadata = file.metadata
    expected = tuple(metadata["input"]["shape"][1:])

    def predict(counts: np.ndarray) -> Answer:
        if counts.ndim != 4 or counts.shape[1:] != expected:
            raise ModelFileError(
                f"{path}: expected counts of shape (B, {', '.join(map(str, expected))})"
                f", found {counts.shape}. Crop each image as its metadata say."
            )
        with _blaming(path):
            arrays = run(np.ascontiguousarray(counts, dtype=np.float32))
            return read_answer(metadata["task"], counts.shape, arrays)

    return TrainedModel(
        predict,
        add_regions(metadata["model"], metadata.get("config"))
        | {
            "parameters_sha256": metadata["parameters_sha256"],
            "verified": file.verified,
            "runtime": f"{runtime} {version}",
        },
        task=metadata["task"],
        input_hw=expected[:2],
        operation=parse_operation(metadata.get("operation"), metadata["task"], path),
    )


@contextlib.contextmanager
def _blaming(path: pathlib.Path) -> Iterator[None]:
    """Makes what went wrong with a model a line that names its file."""
    try:
        yield
    except (AnswerError, ChildError, EngineError) as error:
        raise explain_damage(path, str(error)) from error


def _open_apart(runtime: str, program: bytes) -> Opened:
    """Opens a model in a process of its own, see `open_model`.

    Raises:
        ChildError: if it cannot be opened.
        MissingPackageError: if the runtime is not installed.
    """
    memory = MODEL_MEMORY_BYTES + MODEL_MEMORY_BYTES_A_CORE * (os.cpu_count() or 1)
    memory += MODEL_MEMORY_FACTOR * len(program)
    child = Child("spectjax.inference.engines", memory=memory)

    opened, _ = child.ask({"runtime": runtime}, [program], seconds=OPEN_SECONDS, most=0)
    if "missing" in opened:
        raise MissingPackageError(opened["missing"])
    shapes_seen = set()

    def run(counts: np.ndarray) -> dict[str, np.ndarray]:
        known = counts.shape in shapes_seen or runtime != "jax"
        shapes_seen.add(counts.shape)
        header, parts = child.ask(
            {"shape": list(counts.shape)},
            [counts.reshape(-1).view(np.uint8).data],
            seconds=ANSWER_SECONDS if known else OPEN_SECONDS,
            most=ANSWER_BYTES * len(counts),
        )
        try:
            return _make_arrays(header["arrays"], parts)
        except (KeyError, TypeError, ValueError) as error:
            raise ChildError("gave what is no answer") from error

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
