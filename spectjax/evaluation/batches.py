"""What a model says about many images, in batches of one size.

The number of images is N, of images in a batch B; height and width are H and W.
"""

import collections
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar, cast

import numpy as np


class Fit(Protocol):
    """Brings images to what a model takes, and its answer back."""

    def enter(self, rows: slice, images: np.ndarray) -> np.ndarray:
        """Returns the images of some rows, (B, H, W, 1), as the model takes them."""

    def leave(self, rows: slice, answer: Any) -> Any:
        """Returns what is said of these rows, on the images' own pixels."""


_AHEAD = 2  # batches
Predict = Callable[[np.ndarray], np.ndarray]
_Answer = TypeVar("_Answer")


def join_cases(parts: Sequence[_Answer]) -> _Answer:
    """Returns what is known of the images of all parts, one after another.

    Args:
        parts: dataclasses whose fields are lists, arrays or such dataclasses; arrays
            are joined along their first axis.
    """
    fields: dict[str, Any] = {}
    for name in (field.name for field in dataclasses.fields(cast(Any, parts[0]))):
        values = [getattr(part, name) for part in parts]
        if isinstance(values[0], list):
            fields[name] = list(itertools.chain(*values))
        elif isinstance(values[0], np.ndarray):
            fields[name] = np.concatenate(values)
        else:
            fields[name] = join_cases(values)
    return type(parts[0])(**fields)


def predict_in_batches(
    predict: Callable[[np.ndarray], _Answer],
    images: np.ndarray,
    *,
    batch_size: int,
    fit: Fit | None = None,
) -> Iterator[tuple[slice, _Answer]]:
    """Yields which images a batch holds, and what the model says about the batch.

    The last batch is filled up with copies of its last image: the model sees one shape
    and compiles once. What it says about the copies is yielded too, so that its whole
    output can be checked; the slice tells how many rows are of images. A thread asks
    about the next batches, one after another, while the caller looks at an answer:
    networks leave cores idle, and so does what looks at their answers.

    Args:
        predict: maps counts (B, H, W, 1) to an array whose first axis is B, or several.
        images: counts, (N, H, W, 1).
        batch_size: B.
        fit: what the images have to go through; None: nothing.

    Yields:
        The slice of the images, and the model's answer for all B rows.
    """

    def ask(start: int) -> tuple[slice, _Answer]:
        batch = images[start : start + batch_size]
        rows = slice(start, start + len(batch))
        if fit is not None:
            batch = fit.enter(rows, batch)
        padding = np.repeat(batch[-1:], batch_size - len(batch), axis=0)
        answer = predict(np.concatenate([batch, padding]))
        return rows, answer if fit is None else fit.leave(rows, answer)

    waiting = iter(range(0, len(images), batch_size))
    with ThreadPoolExecutor(max_workers=1) as thread:
        asked = collections.deque(
            thread.submit(ask, start) for start in itertools.islice(waiting, _AHEAD)
        )
        try:
            while asked:
                yield asked.popleft().result()
                asked += [thread.submit(ask, i) for i in itertools.islice(waiting, 1)]
        finally:  # the caller may have had enough
            for each in asked:
                each.cancel()
