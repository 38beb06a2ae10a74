"""The `tfds_spect` data set.

`from tfds_spect import Builder` makes it known to TensorFlow Datasets. That takes a
second, so nothing else here waits for it.
"""

from typing import Any

import spectjax  # noqa: F401 - first, since Ctrl-C may come while the rest is loaded

__all__ = ["Builder"]


def __getattr__(name: str) -> Any:
    """Loads the builder when it is asked for."""
    if name != "Builder":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tfds_spect.tfds_spect_dataset_builder import Builder

    return Builder
