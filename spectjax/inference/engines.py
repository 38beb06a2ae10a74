"""What runs an exported model: JAX, ONNX Runtime or OpenVINO; the last two without JAX.

The only home of the last two. Files of others are opened in a process of their own, in
which `answer` is called, see `spectjax.inference.sandbox`. The number of images is B.
"""

import functools
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from spectjax.system.jax_setup import StartError, start_jax
from spectjax.system.messages import UserError

# Maps counts, float32, (B, H, W, 1), to the arrays of the answer by name; of a model
# with a single one it has no name.
Run = Callable[[np.ndarray], dict[str, np.ndarray]]
# A function that runs a model, and the version of what does.
Opened = tuple[Run, str]

# Calls from a StableHLO program to what is compiled elsewhere. Our programs have the
# first, a check of the batch's size; the rest jax.export writes for shapes that are not
# known, and XLA replaces them before anything runs.
CUSTOM_CALLS = frozenset(
    {
        "shape_assertion",
        "Sharding",
        "stablehlo.dynamic_approx_top_k",
        "stablehlo.dynamic_reduce_window",
        "stablehlo.dynamic_rng_bit_generator",
        "stablehlo.dynamic_top_k",
    }
)
_DIALECTS = frozenset({"builtin", "chlo", "func", "mhlo", "sdy", "stablehlo"})
# Operations that wait for someone outside of the program.
_OUTSIDE = frozenset({"infeed", "outfeed", "recv", "send"})


class MissingPackageError(UserError):
    """An optional package that is not installed; one line with the cure."""


class EngineError(UserError):
    """A model that cannot be run; a few words, for a line that names the file."""


def open_model(runtime: str, content: bytes) -> Opened:
    """Opens a model that `spectjax.export` wrote.

    Args:
        runtime: "jax", "onnxruntime" or "openvino".
        content: what `jax.export` serialised, for "jax"; else an ONNX file.

    Raises:
        EngineError: if it cannot be opened, or calls what is not `CUSTOM_CALLS`.
        MissingPackageError: if the runtime is not installed.
        StartError: if a setting of the environment keeps jax from computing.
    """
    run, version = _OPENERS[runtime](content)

    def run_safely(counts: np.ndarray) -> dict[str, np.ndarray]:
        try:
            arrays = run(counts)
        except MemoryError:
            raise
        except Exception as error:  # their types have no base of their own
            raise EngineError(
                f"fails on counts of shape {counts.shape} ({quote(error)})"
            ) from error
        if not all(array.dtype.kind in "biuf" for array in arrays.values()):
            raise EngineError("answers something else than numbers")
        return arrays

    return run_safely, version


_opened: list[Run] = []


def answer(
    header: Mapping[str, Any], parts: Sequence[bytes]
) -> tuple[dict[str, Any], list[memoryview]]:
    """Answers a request in a process of its own, see `spectjax.inference.sandbox`.

    The first holds a model: `runtime` and its content. Each of the others holds counts,
    float32, and `shape`.
    """
    if not _opened:
        try:
            run, version = open_model(header["runtime"], parts[0])
        except (MissingPackageError, StartError) as error:
            return {"missing": str(error)}, []
        _opened.append(run)
        return {"version": version}, []
    counts = np.frombuffer(parts[0], np.float32).reshape(header["shape"])
    arrays = _opened[0](counts)
    described = [[name, x.dtype.name, list(x.shape)] for name, x in arrays.items()]
    return {"arrays": described}, [
        np.ascontiguousarray(x).reshape(-1).view(np.uint8).data for x in arrays.values()
    ]


def forbid_telemetry() -> None:
    """Keeps ONNX Runtime and OpenVINO from reporting their use over the internet.

    Both do so as soon as they are imported, without asking: to be called before that.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    # OpenVINO does without this package where it is absent.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def _open_onnxruntime(content: bytes) -> Opened:
    forbid_telemetry()
    from spectjax.system.workers import count_cores

    try:
        import onnxruntime
    except ImportError as error:
        raise explain_missing("onnxruntime", error) from error
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    # By default it counts the machine's cores, not those that this process may use.
    cores = count_cores()
    if cores < (os.cpu_count() or 1):
        options.intra_op_num_threads = cores
    try:
        session = onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"]
        )
        (name,) = (each.name for each in session.get_inputs())
    except Exception as error:  # its types have no base of their own
        raise EngineError(f"cannot be read ({quote(error)})") from error
    return (
        lambda counts: {"": np.asarray(session.run(None, {name: counts})[0])},
        onnxruntime.__version__,
    )


def _open_openvino(content: bytes) -> Opened:
    forbid_telemetry()
    try:
        import openvino
    except ImportError as error:
        raise explain_missing("openvino", error) from error
    core = openvino.Core()
    try:
        model = core.read_model(content)
    except Exception as error:  # RuntimeError, and what its bindings raise
        raise EngineError(f"cannot be read ({quote(error)})") from error
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

    return (
        lambda counts: {"": np.asarray(compile_for(counts.shape)(counts)[0])},
        openvino.__version__.partition("-")[0],
    )


def _open_stablehlo(content: bytes) -> Opened:
    try:
        import flatbuffers  # noqa: F401 - jax.export reads with it, and jax lacks it

        start_jax(cached=False)  # programs of others leave nothing behind
        import jax
        import jax.export

        from spectjax.ops.convolution import compiler_options
    except ImportError as error:
        raise explain_missing("jax", error) from error
    try:
        exported = jax.export.deserialize(bytearray(content))
        foreign = find_foreign_operations(exported.mlir_module_serialized)
    except Exception as error:  # flatbuffers and MLIR raise many types
        raise EngineError(f"cannot be read ({quote(error)})") from error
    if foreign:
        raise EngineError(
            f"asks for what no exported model needs: {', '.join(foreign[:3])}"
        )
    call = jax.jit(exported.call, compiler_options=compiler_options())

    def run(counts: np.ndarray) -> dict[str, np.ndarray]:
        result = call(counts)
        arrays = result if isinstance(result, dict) else {"": result}
        return {name: np.asarray(x) for name, x in arrays.items()}

    return run, jax.__version__


def find_foreign_operations(program: bytes) -> list[str]:
    """Returns names of what a portable artifact of StableHLO calls beyond itself."""
    from jaxlib.mlir import ir
    from jaxlib.mlir.dialects import chlo, stablehlo

    foreign: list[str] = []

    def look_at(operation: Any) -> None:
        dialect, _, kind = operation.name.partition(".")
        if dialect not in _DIALECTS or kind in _OUTSIDE:
            foreign.append(f"operation {operation.name[:60]}")
        elif "custom_call" in kind:
            target = operation.attributes["call_target_name"]
            name = target.value if isinstance(target, ir.StringAttr) else str(target)
            if name not in CUSTOM_CALLS:
                foreign.append(f"custom call {name[:60]}")
        for region in operation.regions:
            for block in region:
                for inner in block:
                    look_at(inner.operation)

    context = ir.Context()
    context.allow_unregistered_dialects = True
    with context:
        stablehlo.register_dialect(context)
        chlo.register_dialect(context)
        look_at(stablehlo.deserialize_portable_artifact(context, program).operation)
    return foreign


_OPENERS: dict[str, Callable[[bytes], Opened]] = {
    "jax": _open_stablehlo,
    "onnxruntime": _open_onnxruntime,
    "openvino": _open_openvino,
}


def explain_missing(runtime: str, error: ImportError) -> MissingPackageError:
    """Returns the error that says what to install for a runtime."""
    cure = f"pip install {runtime}"
    if runtime == "jax":
        cure = "pip install . in the clone, or give an ONNX file as --model"
    return MissingPackageError(
        f"--runtime={runtime} needs packages that cannot be imported here ({error}). "
        f"Install them: {cure}"
    )


def quote(error: Exception) -> str:
    """Returns what a library says of its error, in a few words of one line."""
    lines = [line.strip() for line in str(error).splitlines()]
    # OpenVINO first names the lines of its source.
    said = [line for line in lines if line and not line.startswith("Exception from")]
    return (said or [type(error).__name__])[0].rstrip(".:")[:200]
