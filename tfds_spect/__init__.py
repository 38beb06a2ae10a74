"""The `tfds_spect` data set; importing it makes it known to TensorFlow Datasets."""

import spectjax  # noqa: F401 - first, since the rest takes seconds, and Ctrl-C may come
from tfds_spect.tfds_spect_dataset_builder import Builder

__all__ = ["Builder"]
