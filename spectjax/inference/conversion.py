"""From a trained run to a program for other runtimes: ONNX and StableHLO.

Here alone jax2onnx is used. Batch, height, width and class axes are B, H, W and K.
"""

import contextlib
import json
import logging
import pathlib
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from spectjax.inference import runtimes
from spectjax.inference.answers import (
    join_arrays,
    measure_difference,
    name_arrays,
    take,
)
from spectjax.inference.engines import MissingPackageError, forbid_telemetry, quote
from spectjax.inference.metadata import hash_parameters, make_metadata
from spectjax.inference.model_files import (
    METADATA_KEY,
    ONNX,
    STABLEHLO,
    find_format,
    pack_onnx,
    pack_stablehlo,
)
from spectjax.inference.trained import TrainedRun, compute_in_float32, load_run
from spectjax.system.messages import DISCLAIMER, UserError
from spectjax.tasks import TASKS

if TYPE_CHECKING:  # jax takes seconds: not before the command line is understood
    import jax

# Of 2022, so that the runtimes of older computers read it too.
_OPSET = 18
_PLATFORMS = ("cpu", "cuda")

_Predict = Callable[["jax.Array"], Any]


class ExportError(UserError):
    """A model that cannot be exported; one line for the user."""


def describe_run(workdir: pathlib.Path, model: TrainedRun) -> dict[str, Any]:
    """Returns the metadata of a run's newest model.

    Raises:
        ExportError: if its classes have no names.
    """
    names = TASKS[model.task].class_names()
    if model.config.model.num_classes != len(names):
        raise ExportError(
            f"{workdir}: expected a model of the classes {', '.join(names)}, "
            f"found {model.config.model.num_classes} classes. Export another run."
        )
    return make_metadata(
        model.config.to_dict(),
        model.origin,
        parameters_sha256=hash_parameters(model.variables),
        operation=model.operation,
    )


def load_predict(workdir: pathlib.Path) -> tuple[_Predict, dict[str, Any]]:
    """Returns what a run's newest model computes, and its metadata.

    It computes in float32, whatever the run trained in, and in plain XLA operations.

    Returns:
        A function that maps counts, float32, (B, H, W, 1), to the arrays of the answer,
        see `name_arrays`; what `make_metadata` returns.

    Raises:
        ExportError: if its classes have no names.
        ValueError: if its checkpoint cannot be read.
    """
    model = load_run(workdir)
    metadata = describe_run(workdir, model)
    compute = compute_in_float32(model)

    def predict(counts: "jax.Array") -> Any:
        return name_arrays(compute(counts))

    return predict, metadata


def write_onnx(predict: _Predict, metadata: Mapping[str, Any]) -> bytes:
    """Returns an ONNX model with `metadata` as JSON under the key "spectjax".

    Raises:
        ExportError: if an operation of the model has no counterpart.
        MissingPackageError: if jax2onnx is not installed.
    """
    jax2onnx = import_jax2onnx()
    from spectjax.inference.channel_first import make_channel_first
    from spectjax.ops.backend import plain_operations

    try:
        with _silent_conversion(), plain_operations():
            model = jax2onnx.to_onnx(
                predict,
                inputs=[tuple(metadata["input"]["shape"])],
                model_name=metadata["model"]["model"],
                opset=_OPSET,
                input_names=[metadata["input"]["name"]],
                output_names=[metadata["output"]["name"]],
            )
    except Exception as error:  # whatever its plug-ins raise
        raise ExportError(
            f"Model {metadata['model']['model']}: jax2onnx cannot convert it "
            f"({quote(error)}). Export to {STABLEHLO} instead."
        ) from error
    make_channel_first(model.graph)
    # Shapes of what lies between, some of them wrong; runtimes find their own.
    del model.graph.value_info[:]
    model.producer_name = "spectjax"
    model.producer_version = metadata["model"]["spectjax_version"]
    model.doc_string = f"Counts to probabilities. {DISCLAIMER}"
    model.metadata_props.add(key=METADATA_KEY, value=json.dumps(metadata))
    return pack_onnx(model.SerializeToString())


def write_stablehlo(predict: _Predict, metadata: Mapping[str, Any]) -> bytes:
    """Returns a zip file of a program for `jax.export.deserialize`, and its metadata.

    The program's `mlir_module()` is StableHLO.

    Raises:
        MissingPackageError: if flatbuffers is not installed.
    """
    import jax
    import jax.export

    from spectjax.ops.backend import plain_operations

    try:
        import flatbuffers  # noqa: F401 - jax.export writes with it, and jax lacks it
    except ImportError as error:
        raise MissingPackageError(
            f"Writing {STABLEHLO} needs the package flatbuffers, which cannot "
            f"be imported ({error}). Install it: pip install flatbuffers"
        ) from error
    _, *shape = metadata["input"]["shape"]
    batch = jax.export.symbolic_shape("B")
    counts = jax.ShapeDtypeStruct((*batch, *shape), np.float32)
    with _without_source_paths(), plain_operations():
        program = jax.export.export(jax.jit(predict), platforms=_PLATFORMS)(counts)
    return pack_stablehlo(metadata, bytes(program.serialize()))


def compare_runtimes(
    content: bytes, name: str, predict: _Predict, counts: np.ndarray
) -> dict[str, float]:
    """Returns how far each installed runtime's answers are from JAX's at most.

    Compared, see `measure_difference`, on all images at once and on all but the first.

    Args:
        content: the exported model.
        name: of its file, which tells the format.
        predict: what JAX computes.
        counts: at least two images, float32, (B, H, W, 1).

    Raises:
        ModelFileError: if a runtime does not read it.
        ExportError: if no runtime that reads it is installed.
    """
    import jax

    from spectjax.ops.convolution import compiler_options

    answer = jax.jit(predict, compiler_options=compiler_options())(counts)
    expected = join_arrays(jax.tree.map(np.asarray, answer))
    differences = {}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / name
        path.write_bytes(content)
        for runtime in runtimes.RUNTIMES_FOR[find_format(path)]:
            with contextlib.suppress(MissingPackageError):
                model = runtimes.load_file(path, runtime, isolated=False)
                found = [
                    measure_difference(
                        model.predict(counts[rows]), take(expected, rows)
                    )
                    for rows in (slice(None), slice(1, None))
                ]
                # Unlike max, it keeps a NaN.
                differences[runtime] = float(np.max(found))
    if not differences:
        raise ExportError(
            f"{name}: expected a runtime to check it with, found none. Install one: "
            "pip install onnxruntime"
        )
    return differences


def make_test_images(hw: tuple[int, int]) -> np.ndarray:
    """Returns two images like thoraces with hotspots, float32, (2, H, W, 1), counts.

    A body with Poisson noise and round spots from faint to bright, so that
    probabilities of all sizes occur; the second image is four times as bright.
    """
    rng = np.random.default_rng(0)
    height, width = hw
    rows, columns = np.mgrid[:height, :width]
    rows, columns = rows / height - 0.5, columns / width - 0.5
    expected = np.where(rows**2 + columns**2 < 0.16, 12.0, 0.0)
    for peak in np.geomspace(2, 60, num=16):
        row, column = rng.uniform(-0.25, 0.25, size=2)
        distance = (rows - row) ** 2 + (columns - column) ** 2
        expected += peak * np.exp(-distance / (2 * 0.015**2))
    images = rng.poisson(expected * np.array([1.0, 4.0])[:, None, None])
    return images[..., np.newaxis].astype(np.float32)


@contextlib.contextmanager
def _silent_conversion() -> Iterator[None]:
    """Keeps jax2onnx from telling of types that it leaves out, line after line."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


@contextlib.contextmanager
def _without_source_paths() -> Iterator[None]:
    """Keeps the folders of this computer out of what jax exports."""
    import jax

    name = "jax_traceback_in_locations_limit"
    limit = getattr(jax.config, name)
    jax.config.update(name, 0)
    try:
        yield
    finally:
        jax.config.update(name, limit)


def import_jax2onnx() -> Any:
    """Returns jax2onnx.

    Raises:
        MissingPackageError: if it cannot be imported.
    """
    forbid_telemetry()  # it imports ONNX Runtime
    try:
        import jax2onnx
    except ImportError as error:
        raise MissingPackageError(
            f"Writing {ONNX} needs the package jax2onnx, which cannot be "
            f"imported ({error}). Install it in the clone: pip install '.[export]'; or "
            f"export to {STABLEHLO}, which needs nothing more."
        ) from error
    return jax2onnx
