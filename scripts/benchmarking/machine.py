"""The machine: its device, its frameworks, and how fast it multiplies matrices."""

import importlib.util
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from .processes import Worker, WorkerError

JAX = "benchmarking.jax_worker"
TORCH = "benchmarking.torch_worker"
RUNTIME = "benchmarking.runtime_worker"
# Rows of the square matrices, and products a sample.
_SIZE = {"cpu": 2048, "cuda": 8192}
_PRODUCTS = {"cpu": 1, "cuda": 20}


class Machine:
    """Asks the frameworks what they run on, and measures matrix products by both.

    Attributes:
        device: what JAX calls the device, such as "cpu" or "NVIDIA H200".
        kind: "cpu" or "cuda".
        has_torch: PyTorch is installed and runs on the same kind of device.
        versions: of the frameworks, by name.
        notes: what to say about all this.
        peak_flops_per_s: of the fastest product so far.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        dtype: str,
        threads: int,
        with_torch: bool,
    ) -> None:
        """Starts one process for each framework, which `close` ends.

        Raises:
            WorkerError: if JAX does not run.
        """
        spec: dict[str, Any] = {"mode": "product", "dtype": dtype, "threads": threads}
        self.notes: list[str] = []
        describer = Worker(JAX, environment)
        try:
            facts = describer.ask(mode="describe", threads=threads)
        finally:
            describer.close()
        self.device, self.versions = facts["device"], facts["versions"]
        self.kind = "cpu" if facts["backend"] == "cpu" else "cuda"
        self.peak_flops_per_s = 0.0
        spec["size"] = _SIZE[self.kind]
        self._workers = {"jax": Worker(JAX, environment)}
        self._workers["jax"].ask(**spec)
        self.has_torch = with_torch and importlib.util.find_spec("torch") is not None
        if with_torch and not self.has_torch:
            self.notes.append("PyTorch is not installed: nothing to compare with.")
        if self.has_torch:
            self._workers["torch"] = Worker(TORCH, environment)
            try:
                built = self._workers["torch"].ask(**spec, device=self.kind)
                self.versions["torch"] = built["version"]
            except WorkerError as error:
                self.has_torch = False
                self.notes.append(f"PyTorch does not run on {self.kind}: {error}.")
                self._workers.pop("torch").close()
        self.measure_peak()

    def measure_peak(self) -> None:
        """Runs a few products; the fastest of the whole run is the machine's peak."""
        for _ in range(3):
            for worker in self._workers.values():
                seconds = worker.seconds(_PRODUCTS[self.kind])
                rate = 2 * _SIZE[self.kind] ** 3 / seconds
                self.peak_flops_per_s = max(self.peak_flops_per_s, rate)

    def close(self) -> None:
        """Ends the processes."""
        for worker in self._workers.values():
            worker.close()

    def __enter__(self) -> "Machine":
        """Returns the machine."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the processes."""
        self.close()
