"""The `tfds_spect` data set; importing it makes it known to TensorFlow Datasets."""

from tfds_spect.tfds_spect_dataset_builder import Builder

__all__ = ["Builder"]
