"""The machine: its device, its frameworks, and how fast it multiplies matrices."""

import contextlib
import dataclasses
import importlib.util
from collections.abc import Iterator
from typing import Any

from benchmarks.processes import Worker, WorkerError, closing
from spectjax.system.messages import UserError

JAX = "benchmarks.jax_worker"
TORCH = "benchmarks.torch_worker"
# Rows of the square matrices, and products a sample.
_SIZE = {"cpu": 2048, "cuda": 8192}
_PRODUCTS = {"cpu": 1, "cuda": 20}


@dataclasses.dataclass
class Machine:
    """What the frameworks run on, and how fast it multiplies matrices by them.

    Attributes:
        device: what JAX calls the device, such as "cpu" or "NVIDIA H200".
        kind: "cpu" or "cuda".
        versions: of the frameworks, by name.
        notes: what to say about all this.
        workers: multiply matrices.
        has_torch: PyTorch runs on this device.
        peak_flops_per_s: of the fastest product so far.
    """

    device: str
    kind: str
    versions: dict[str, str]
    notes: list[str] = dataclasses.field(default_factory=list)
    workers: dict[str, Worker] = dataclasses.field(default_factory=dict)
    has_torch: bool = False
    peak_flops_per_s: float = 0.0

    def measure_peak(self) -> None:
        """Runs a few products; the fastest of the whole run is the machine's peak."""
        for _ in range(3):
            for worker in self.workers.values():
                seconds = worker.seconds(_PRODUCTS[self.kind])
                rate = 2 * _SIZE[self.kind] ** 3 / seconds
                self.peak_flops_per_s = max(self.peak_flops_per_s, rate)


def describe_machine(threads: int) -> Machine:
    """Asks JAX what it runs on.

    Raises:
        UserError: if it does not run.
    """
    describer = Worker(JAX)
    try:
        facts = describer.build(mode="describe", threads=threads)
    except WorkerError as error:
        raise UserError(f"JAX does not run: {error}.") from error
    finally:
        describer.close()
    kind = "cpu" if facts["backend"] == "cpu" else "cuda"
    return Machine(facts["device"], kind, facts["versions"])


@contextlib.contextmanager
def start_machine(*, dtype: str, threads: int, with_torch: bool) -> Iterator[Machine]:
    """Yields the machine, with a process for each framework that multiplies matrices.

    Raises:
        UserError: if JAX does not run.
        WorkerError: if it does not multiply matrices.
    """
    machine = describe_machine(threads)
    spec: dict[str, Any] = {"mode": "product", "dtype": dtype, "threads": threads}
    spec["size"] = _SIZE[machine.kind]
    with closing(machine.workers):
        machine.workers["jax"] = Worker(JAX)
        machine.workers["jax"].build(**spec)
        if with_torch and importlib.util.find_spec("torch") is None:
            machine.notes.append("PyTorch is not installed: nothing to compare with.")
        elif with_torch:
            worker = machine.workers["torch"] = Worker(TORCH)
            try:
                built = worker.build(**spec, device=machine.kind)
                machine.versions["torch"] = built["version"]
                machine.has_torch = True
            except WorkerError as error:
                machine.notes.append(
                    f"PyTorch does not run on {machine.kind}: {error}."
                )
                machine.workers.pop("torch").close()
        machine.measure_peak()
        yield machine
