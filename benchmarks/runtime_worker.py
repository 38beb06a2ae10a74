"""Measures the exported model in other runtimes; a child of `benchmarks.steps`.

Exporting needs the whole project installed, with jax2onnx; running the file does not.
"""

import pathlib
import time
from typing import Any

from benchmarks import arrays
from benchmarks.processes import Measurement, peak_rss_bytes


def build(mode: str, *, threads: int, **spec: Any) -> Measurement:
    """Returns the measurement of `mode`: `export` or `inference`."""
    if mode == "export":
        _export(**spec)
        return Measurement(lambda steps: None, {}, peak_rss_bytes)
    return _build_inference(**spec)


def _export(*, path: str, parameters: int, batch_size: int, **which: Any) -> None:
    """Writes the model with its initial parameters as ONNX."""
    from benchmarks import workloads
    from spectjax.inference.conversion import write_onnx
    from spectjax.inference.metadata import make_metadata

    workload = workloads.create(**which)
    variables = workload.draw_variables()
    metadata = make_metadata(
        {
            "task": workload.task_name,
            "data": {"normalisation": "min_max", "train_hw": workload.image_hwc[:2]},
        },
        {"model": workload.name, "spectjax_version": "benchmark"},
        parameters_sha256="of a benchmark",
    )
    metadata["input"]["shape"] = ["B", *workload.image_hwc]
    content = write_onnx(
        lambda counts: workload.task.predict(variables, counts), metadata
    )
    pathlib.Path(path).write_bytes(content)


def _build_inference(
    *, path: str, runtime: str, image_hwc: tuple[int, int, int], batch_size: int
) -> Measurement:
    from spectjax.inference import runtimes

    images = arrays.synthesise(image_hwc, batch_size)["images"].astype("float32")
    start = time.perf_counter()
    model = runtimes.load_file(pathlib.Path(path), runtime, isolated=False)
    predict = model.predict
    predict(images)
    seconds = time.perf_counter() - start

    def run(steps: int) -> None:
        for _ in range(steps):
            predict(images)

    return Measurement(run, {"compile_s": seconds}, peak_rss_bytes)
