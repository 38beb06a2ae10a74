"""How examples reach the devices: kept there, or streamed from disk.

Either way a dispatch gives the compiled steps arrays and the rows of each batch in
them; both feeds give the same batches in the same order. The only home of Grain.
"""

import dataclasses
import os
from collections.abc import Iterator
from typing import Any, Protocol

import grain
import jax
import numpy as np

from spectjax.input_pipeline import Examples, StoredExamples, draw_batches
from spectjax.training.parallel import Layout, find_local_part

RESIDENT_SHARE = 0.25  # of a device's memory; the model and its gradients need more
_BATCHES_AHEAD = 16  # as many threads read and decode, one batch each


@dataclasses.dataclass(frozen=True)
class Dispatch:
    """Some steps' batches.

    Attributes:
        data: arrays on the devices, see `step.run_steps`.
        rows: which of them make up each batch, int32, (R, B); R never changes.
        num_steps: number of batches, at most R.
        examples: which examples they are, int32, (num_steps, B).
    """

    data: Any
    rows: np.ndarray
    num_steps: int
    examples: np.ndarray


class Feed(Protocol):
    """Gives one epoch after the other, from any step on."""

    split_data: bool  # each device has its part of `Dispatch.data` alone
    steps: int  # to put into the next dispatches, up to max_steps
    max_steps: int

    def dispatches(self, epoch: int, first_step: int) -> Iterator[Dispatch]:
        """Yields what is left of an epoch after `first_step` of its steps."""


class ResidentFeed:
    """All examples live on every device; a batch is gathered there."""

    split_data = False

    def __init__(
        self,
        examples: Examples,
        layout: Layout,
        *,
        batch_size: int,
        seed: int,
        max_steps: int,
    ) -> None:
        """Copies the examples to the devices."""
        self.steps, self.max_steps = 1, max_steps
        self._data = layout.place(examples.read(slice(None)))
        self._draw = (len(examples), batch_size)
        self._seed = seed

    def dispatches(self, epoch: int, first_step: int) -> Iterator[Dispatch]:
        """See `Feed`."""
        batches = draw_batches(*self._draw, seed=self._seed, epoch=epoch)
        start = first_step
        while start < len(batches):
            examples = batches[start : start + self.steps]
            rows = np.zeros((self.max_steps, batches.shape[1]), np.int32)
            rows[: len(examples)] = examples
            start += len(examples)
            yield Dispatch(self._data, rows, len(examples), examples)


class StreamedFeed:
    """Threads read and decode the next batches while the devices work."""

    split_data = True
    steps = max_steps = 1

    def __init__(
        self, examples: StoredExamples, layout: Layout, *, batch_size: int, seed: int
    ) -> None:
        """Reads nothing yet."""
        self._examples = examples
        self._layout = layout
        self._draw = (len(examples), batch_size)
        self._seed = seed
        # Each device finds its part of the batch at the top of its own arrays.
        part = np.arange(batch_size // layout.num_devices, dtype=np.int32)
        self._rows = np.tile(part, layout.num_devices)[np.newaxis]

    def dispatches(self, epoch: int, first_step: int) -> Iterator[Dispatch]:
        """See `Feed`."""
        batches = draw_batches(*self._draw, seed=self._seed, epoch=epoch)[first_step:]
        ours = batches[:, find_local_part(batches.shape[1])]
        stream = (
            grain.MapDataset.source(ours)
            .map(self._examples.read)
            .to_iter_dataset(
                grain.ReadOptions(
                    num_threads=_BATCHES_AHEAD, prefetch_buffer_size=_BATCHES_AHEAD
                )
            )
        )
        for examples, batch in zip(batches, stream, strict=True):
            data = self._layout.place_split(batch)
            yield Dispatch(data, self._rows, 1, examples[np.newaxis])


def count_room() -> float:
    """Returns how many bytes of examples a device of this process may keep."""
    stats = jax.local_devices()[0].memory_stats()
    if stats is not None and "bytes_limit" in stats:
        return RESIDENT_SHARE * stats["bytes_limit"]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return RESIDENT_SHARE * memory / jax.local_device_count()
