"""How training is spread over devices and processes: the only home of mesh and pmap.

A layout runs one function on every device, each with its part of the batch; what must
be global, the function itself averages or sums over the axis `AXIS`. So the numbers are
those of one device, up to rounding, whichever layout is chosen.
"""

import contextlib
import functools
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from spectjax.ops.convolution import compiler_options
from spectjax.system.messages import UserError
from spectjax.training.process_watch import ProcessError, meet

AXIS = "batch"
PROCESS_TIMEOUT = 300.0  # seconds to wait for a process that is missing


def start_processes(
    coordinator: str | None,
    num_processes: int | None,
    process_id: int | None,
    timeout: float = PROCESS_TIMEOUT,
) -> contextlib.AbstractContextManager[object]:
    """Joins the processes of one run, if there are several.

    Args:
        coordinator: address of process 0, host:port; None for a run of one process, or
            of one started by SLURM's `srun`, which tells all three.
        num_processes: how many there are.
        process_id: number of this one, from 0.
        timeout: seconds after which a process is missing, at the start or later.

    Returns:
        A context in which the run is done: it ends the process with one line where
        another one is missing, and as soon as this one has an error.

    Raises:
        ProcessError: if only some of the three are given, or a process is missing.
    """
    if timeout < 1:
        raise ProcessError(f"--process_timeout={timeout:g}: expected 1 s or more.")
    given = (coordinator, num_processes, process_id)
    if given == (None, None, None):
        if int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) <= 1:
            return contextlib.nullcontext()
        coordinator, num_processes, process_id = _ask_slurm()
    if coordinator is None or num_processes is None or process_id is None:
        raise ProcessError(
            "--coordinator, --num_processes and --process_id go together; found "
            f"{coordinator}, {num_processes} and {process_id}."
        )
    if not 0 <= process_id < num_processes:
        raise ProcessError(
            f"--process_id={process_id}: expected 0 to {num_processes - 1}, "
            f"as --num_processes={num_processes} says."
        )
    watch = meet(coordinator, num_processes, process_id, timeout)
    seconds = max(60, round(timeout))
    try:
        jax.distributed.initialize(
            watch.relay(coordinator) if process_id else coordinator,
            num_processes,
            process_id,
            initialization_timeout=seconds,
            # Later than ours, for its client ends the process with a stack trace.
            heartbeat_timeout_seconds=10 * seconds,
            shutdown_timeout_seconds=seconds,
        )
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ProcessError(
            f"The processes of this run do not find each other ({reason}). Start all "
            "of them, with one --coordinator=HOST:PORT that each can reach."
        ) from error
    return watch


def _ask_slurm() -> tuple[str, int, int]:
    """Returns what `srun` says: host:port of process 0, how many, which this is.

    The first host of its list, and a port by the job's number, as jax chooses them.

    Raises:
        ProcessError: if it does not say it.
    """
    try:
        nodes = os.environ["SLURM_STEP_NODELIST"]
        job = int(os.environ["SLURM_JOB_ID"])
        count, number = (int(os.environ[f"SLURM_{x}"]) for x in ("NTASKS", "PROCID"))
    except (KeyError, ValueError) as error:
        raise ProcessError(
            f"SLURM does not say which process this is ({error}). Name --coordinator, "
            "--num_processes and --process_id."
        ) from error
    # "node7", "node7,other", "node[007-015,020],other"
    found = re.match(r"([^,\[]+)(?:\[(\w+))?", nodes)
    host = "".join(filter(None, found.groups())) if found else nodes
    return f"{host}:{65535 - 2**12 + 1 + job % 2**12}", count, number


def is_first_process() -> bool:
    """Returns whether this is the process that writes files and talks."""
    return jax.process_index() == 0


def wait_for_all(name: str) -> None:
    """Waits until every process has come to the place called `name`."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def ask_processes(
    flags: Callable[[], tuple[bool, ...]],
) -> Callable[[], tuple[bool, ...]]:
    """Asks for each flag whether any process has raised it; all must ask.

    Nobody waits here: the devices compute the answer in their turn, so that whoever
    reads it after the next step was begun waits for the step before at most.

    Args:
        flags: what this process says. Called now; where it is the only one, whenever
            the answer is read.

    Returns:
        A function that returns the answer, the same in every process.
    """
    if jax.process_count() == 1:
        return flags
    split, count = _count_flags()
    ours = np.tile(np.array(flags(), np.int32), (jax.local_device_count(), 1))
    raised = count(jax.make_array_from_process_local_data(split, ours))
    return lambda: tuple((np.asarray(raised.addressable_data(0)) > 0).tolist())


@functools.cache
def _count_flags() -> tuple[NamedSharding, Callable[[jax.Array], jax.Array]]:
    """Returns how the flags of all devices lie on them, and what adds them up."""
    mesh = Mesh(np.array(jax.devices()), (AXIS,))
    everywhere = NamedSharding(mesh, PartitionSpec())
    count = jax.jit(lambda flags: flags.sum(axis=0), out_shardings=everywhere)
    return NamedSharding(mesh, PartitionSpec(AXIS)), count


def check_same(value: str, message: str) -> None:
    """Checks that `value` is the same in every process.

    Raises:
        ProcessError: with `message`, in every process, if it is not.
    """
    if jax.process_count() == 1:
        return
    code = np.frombuffer(value.encode().ljust(256)[:256], np.uint8)
    codes = multihost_utils.process_allgather(code).reshape(-1, code.size)
    if (codes != codes[0]).any():
        values = sorted({bytes(row).decode().strip() for row in codes})
        raise ProcessError(f"{message} (found {' and '.join(values)}).")


def find_local_part(batch_size: int) -> slice:
    """Returns which of a batch's columns this process's devices work on."""
    processes = [device.process_index for device in jax.devices()]
    count = batch_size // len(processes)
    first = processes.index(jax.process_index())
    return slice(first * count, (first + jax.local_device_count()) * count)


class Layout(Protocol):
    """One way to spread a step; `state` stands for any pytree of arrays."""

    num_devices: int

    def place(self, state: Any) -> Any:
        """Returns host arrays as arrays with a copy on every device."""

    def place_split(self, batch: Mapping[str, np.ndarray]) -> Any:
        """Returns this process's rows of a batch, split over its devices.

        The leading axes of all processes' rows together are the batch, in the order of
        the processes.
        """

    def begin_fetch(self, state: Any) -> Callable[[], Any]:
        """Begins to copy to the host; what comes after does not change the copy.

        Returns:
            A function that waits for the copy and returns it, in any thread.
        """

    def view(self, state: Any) -> Any:
        """Returns what one device of this process has, without a copy."""

    def compile(self, run: Callable[..., Any], *, split_data: bool) -> Any:
        """Compiles `run(state, data, rows, num_steps, key)` for every device.

        `data` is split over the devices if `split_data`, else each has a copy, as of
        all other arguments and of the results. The old state's memory is used again.
        """


class MeshLayout:
    """`jax.jit` over a mesh of all devices of all processes."""

    def __init__(self, devices: Sequence[jax.Device] | None = None) -> None:
        """Takes all devices, or others than this machine's, to compile for."""
        devices = devices or jax.devices()
        self.num_devices = len(devices)
        self._mesh = Mesh(np.array(devices), (AXIS,))

    def describe(self, state: Any) -> Any:
        """Returns shapes and types as `place` would put arrays of them."""
        sharding = self._sharding()
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), state
        )

    def _sharding(self, *axes: str) -> NamedSharding:
        return NamedSharding(self._mesh, PartitionSpec(*axes))

    def place(self, state: Any) -> Any:
        """See `Layout`."""
        sharding = self._sharding()
        return jax.tree.map(
            lambda x: jax.make_array_from_callback(x.shape, sharding, lambda i: x[i]),
            jax.tree.map(np.asarray, state),
        )

    def place_split(self, batch: Mapping[str, np.ndarray]) -> Any:
        """See `Layout`."""
        sharding = self._sharding(AXIS)
        return {
            name: jax.make_array_from_process_local_data(sharding, rows)
            for name, rows in batch.items()
        }

    def begin_fetch(self, state: Any) -> Callable[[], Any]:
        """See `Layout`."""
        return _begin_fetch(self.view(state))

    def view(self, state: Any) -> Any:
        """See `Layout`."""
        return jax.tree.map(lambda x: x.addressable_data(0), state)

    def compile(self, run: Callable[..., Any], *, split_data: bool) -> Any:
        """See `Layout`."""
        whole = PartitionSpec()
        data = PartitionSpec(AXIS) if split_data else whole
        mapped = jax.shard_map(
            run,
            mesh=self._mesh,
            in_specs=(whole, data, whole, whole, whole),
            out_specs=whole,
            # The function sums over the axis itself, as under pmap.
            check_vma=False,
        )
        return jax.jit(mapped, donate_argnums=0, compiler_options=compiler_options())


class PmapLayout:
    """`jax.pmap`; arrays have a leading axis of devices. Slow on a CPU.

    pmap takes no compiler options, and convolutions on a CPU need one.
    """

    def __init__(self) -> None:
        """Takes all devices."""
        self.num_devices = jax.device_count()
        self._place = jax.pmap(lambda x: x)

    def place(self, state: Any) -> Any:
        """See `Layout`."""
        count = jax.local_device_count()
        return self._place(
            jax.tree.map(
                lambda x: np.broadcast_to(x, (count, *np.shape(x))),
                jax.tree.map(np.asarray, state),
            )
        )

    def place_split(self, batch: Mapping[str, np.ndarray]) -> Any:
        """See `Layout`."""
        count = jax.local_device_count()
        return self._place(
            {
                name: rows.reshape(count, -1, *rows.shape[1:])
                for name, rows in batch.items()
            }
        )

    def begin_fetch(self, state: Any) -> Callable[[], Any]:
        """See `Layout`."""
        fetch = _begin_fetch(jax.tree.map(lambda x: x.addressable_data(0), state))
        return lambda: jax.tree.map(lambda x: x[0], fetch())

    def view(self, state: Any) -> Any:
        """See `Layout`."""
        return jax.tree.map(lambda x: x.addressable_data(0)[0], state)

    def compile(self, run: Callable[..., Any], *, split_data: bool) -> Any:
        """See `Layout`."""
        del split_data  # placed with or without a copy, data have their leading axis
        return jax.pmap(
            run, axis_name=AXIS, in_axes=(0, 0, None, None, None), donate_argnums=0
        )


def _begin_fetch(state: Any) -> Callable[[], Any]:
    """Returns what `Layout.begin_fetch` does, of arrays on one device each."""
    try:
        # The next step uses the state's memory again; the device copies it before.
        copies = jax.device_put(
            state, jax.tree.map(lambda x: x.sharding, state), may_alias=False
        )
    except jax.errors.JaxRuntimeError:  # the device has no room: all wait for the host
        whole = jax.tree.map(np.array, state)
        return lambda: whole
    for copy in jax.tree.leaves(copies):
        copy.copy_to_host_async()
    return lambda: jax.tree.map(np.asarray, copies)


LAYOUTS: dict[str, Callable[[], Layout]] = {"jit": MeshLayout, "pmap": PmapLayout}


def check_batch_size(batch_size: int, num_devices: int) -> None:
    """Checks that a batch splits evenly.

    Raises:
        UserError: if it does not.
    """
    if batch_size % num_devices:
        raise UserError(
            f"--config.data.batch_size={batch_size} does not split evenly over "
            f"{num_devices} devices; choose a multiple of {num_devices}."
        )
