"""What a model says about many images, in batches of one size.

The number of images is N, of images in a batch B; height and width are H and W.
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np

Predict = Callable[[np.ndarray], np.ndarray]
_Answer = TypeVar("_Answer")


def predict_in_batches(
    predict: Callable[[np.ndarray], _Answer], images: np.ndarray, *, batch_size: int
) -> Iterator[tuple[slice, _Answer]]:
    """Yields which images a batch holds, and what the model says about the batch.

    The last batch is filled up with copies of its last image: the model sees one shape
    and compiles once. What it says about the copies is yielded too, so that its whole
    output can be checked; the slice tells how many rows are of images.

    Args:
        predict: maps counts (B, H, W, 1) to an array whose first axis is B, or several.
        images: counts, (N, H, W, 1).
        batch_size: B.

    Yields:
        The slice of the images, and the model's answer for all B rows.
    """
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        padding = np.repeat(batch[-1:], batch_size - len(batch), axis=0)
        rows = slice(start, start + len(batch))
        yield rows, predict(np.concatenate([batch, padding]))
