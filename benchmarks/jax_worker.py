"""Measures spectjax itself; a child of `benchmarks.steps`."""

import functools
import importlib.metadata
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import arrays, workloads
from benchmarks.processes import Measurement, peak_rss_bytes
from spectjax.ops.convolution import compiler_options
from spectjax.tasks.task import Task, Variables
from spectjax.training.parallel import AXIS, MeshLayout
from spectjax.training.step import (
    TrainState,
    choose_steps_per_dispatch,
    run_steps,
    train_step,
)


def build(mode: str, *, threads: int, **spec: Any) -> Measurement:
    """Returns the measurement of `mode`: what `_MODES` names, or `describe`."""
    if mode == "describe":
        return Measurement(run=lambda steps: None, facts=describe(), peak_bytes=int)
    run, compile_s = _MODES[mode](**spec)
    run(1)
    return Measurement(run, {"compile_s": compile_s}, peak_bytes)


def describe() -> dict[str, Any]:
    """Returns what the table says about machine and versions."""
    versions = {name: importlib.metadata.version(name) for name in ("jax", "flax")}
    return {
        "backend": jax.default_backend(),
        "device": jax.devices()[0].device_kind,
        "versions": versions,
    }


def peak_bytes() -> int:
    """Returns the most memory in use so far: of a GPU, or else of this process."""
    statistics = jax.local_devices()[0].memory_stats()
    return int(statistics["peak_bytes_in_use"]) if statistics else peak_rss_bytes()


def _compile(function: Any, *arguments: Any) -> tuple[Any, float]:
    start = time.perf_counter()
    compiled = function.lower(*arguments).compile()
    return compiled, time.perf_counter() - start


def _create_workload(parameters: int, **which: Any) -> workloads.Workload:
    workload = workloads.create(**which)
    if workload.parameters != parameters:
        raise ValueError(
            f"Expected {parameters} parameters, got {workload.parameters} with {which}."
        )
    return workload


def begin(variables: Variables, optimizer: optax.GradientTransformation) -> TrainState:
    """Returns the state before the first step."""
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=variables["params"],
        batch_stats=variables.get("batch_stats", {}),
        opt_state=optimizer.init(variables["params"]),
        average={},
    )


def build_training(
    task: Task, variables: Variables, batch: Mapping[str, Any], *, gathers: bool
) -> tuple[Callable[[int], object], float]:
    """Compiles what the trainer does: it gathers batches on the device and takes steps.

    Args:
        task: gives the loss.
        variables: to begin with.
        batch: what it learns from, again and again.
        gathers: if not, one step a dispatch on a batch that is ready.

    Returns:
        What runs that many steps, and the seconds of tracing and compiling.
    """
    optimizer = optax.sgd(1e-3, momentum=0.9)
    key = jax.random.key(0)
    step = functools.partial(train_step, task=task, optimizer=optimizer)
    layout = MeshLayout()
    steps_per_dispatch = choose_steps_per_dispatch() if gathers else 1
    state = layout.place(begin(variables, optimizer))
    if gathers:
        step = functools.partial(step, axis_name=AXIS)
        steps = functools.partial(run_steps, step=step, axis_name=AXIS)
        function = layout.compile(steps, split_data=False)
        rows = np.arange(len(batch["images"]), dtype=np.int32)
        rows = layout.place(np.tile(rows, (steps_per_dispatch, 1)))
        arguments = [layout.place(batch), rows, layout.place(np.int32(0)), key]
    else:
        function = jax.jit(step, donate_argnums=0, compiler_options=compiler_options())
        arguments = [jax.device_put(batch), key]
    compiled, compile_s = _compile(function, state, *arguments)

    def run(steps: int) -> None:
        nonlocal state
        for first in range(0, steps, steps_per_dispatch):
            if gathers:
                count = min(steps - first, steps_per_dispatch)
                arguments[2] = layout.place(np.int32(count))
            state, _ = compiled(state, *arguments)
        jax.block_until_ready(state)

    return run, compile_s


def build_inference(
    predict: Callable[[Variables, Any], Any], variables: Variables, images: np.ndarray
) -> tuple[Callable[[int], Any], float]:
    """Compiles a prediction from images; returns as `build_training` does.

    What runs the steps gives the last prediction.
    """
    on_device = jax.device_put(images)
    function = jax.jit(predict, compiler_options=compiler_options())
    compiled, compile_s = _compile(function, variables, on_device)

    def run(steps: int) -> Any:
        for _ in range(steps):
            result = compiled(variables, on_device)
        return jax.block_until_ready(result)

    return run, compile_s


def _train_workload(
    *, gathers: bool, batch_size: int, parameters: int, **which: Any
) -> tuple[Callable[[int], object], float]:
    workload = _create_workload(parameters, **which)
    batch = arrays.synthesise(workload.image_hwc, batch_size)
    return build_training(
        workload.task, workload.draw_variables(), batch, gathers=gathers
    )


def _infer_workload(
    *, batch_size: int, parameters: int, **which: Any
) -> tuple[Callable[[int], object], float]:
    workload = _create_workload(parameters, **which)
    images = arrays.synthesise(workload.image_hwc, batch_size)["images"]
    return build_inference(workload.task.predict, workload.draw_variables(), images)


def _build_product(*, size: int, dtype: str) -> tuple[Callable[[int], object], float]:
    a = jax.random.normal(jax.random.key(0), (size, size), jnp.dtype(dtype))
    multiply, compile_s = _compile(jax.jit(jnp.matmul), a, a)

    def run(steps: int) -> None:
        for _ in range(steps):
            result = multiply(a, a)
        jax.block_until_ready(result)

    return run, compile_s


_MODES: dict[str, Callable[..., tuple[Callable[[int], object], float]]] = {
    "train": functools.partial(_train_workload, gathers=True),
    "train_step": functools.partial(_train_workload, gathers=False),
    "inference": _infer_workload,
    "product": _build_product,
}
