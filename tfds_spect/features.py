"""The features of the data set, and examples as the records that hold them."""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import example_serializer

from spectjax.imaging.canvas import CANVAS_HW
from spectjax.imaging.diagnosis import DIAGNOSES, LABELS
from tfds_spect.example import LESION_CLASSES, MASK_EVIDENCE, VIEWS
from tfds_spect.writers import serialise_canonically

COMPRESSED = ("image", "mask", "instance_masks")  # by zlib, each on its own


def list_features(
    *, normalised: bool = False, canvas_hw: tuple[int, int] = CANVAS_HW
) -> tfds.features.FeaturesDict:
    """Returns what an example consists of.

    If `normalised`, images are float32 in [0, 1] instead of uint16 counts.
    """
    mask = {"dtype": np.uint8, "encoding": "zlib"}
    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Tensor(
                shape=(*canvas_hw, 1),
                dtype=np.float32 if normalised else np.uint16,
                encoding="zlib",
            ),
            "label": tfds.features.ClassLabel(names=LABELS),
            "diagnosis": tfds.features.ClassLabel(names=DIAGNOSES),
            "mask": tfds.features.Tensor(shape=canvas_hw, **mask),
            "mask_evidence": tfds.features.ClassLabel(names=MASK_EVIDENCE),
            "instance_masks": tfds.features.Tensor(shape=(None, *canvas_hw), **mask),
            "instance_boxes": tfds.features.Tensor(shape=(None, 4), dtype=np.float32),
            "instance_labels": tfds.features.Sequence(
                tfds.features.ClassLabel(names=LESION_CLASSES)
            ),
            "example_id": tfds.features.Text(),
            "patient": tfds.features.Text(),
            "view": tfds.features.ClassLabel(names=VIEWS),
            "spacing_mm": tfds.features.Tensor(shape=(2,), dtype=np.float32),
            "crop_box": tfds.features.Tensor(shape=(4,), dtype=np.int32),
            "frame_hw": tfds.features.Tensor(shape=(2,), dtype=np.int32),
            "source": tfds.features.Text(),
            "copy": {
                "mirror": tfds.features.Scalar(np.bool_),
                "dx": tfds.features.Scalar(np.int32),
                "dy": tfds.features.Scalar(np.int32),
                "degrees": tfds.features.Scalar(np.int32),
            },
            "fold": tfds.features.Scalar(np.int32),
            "synthetic": tfds.features.Scalar(np.bool_),
        }
    )


def serialise(example: dict[str, Any], *, normalised: bool) -> bytes:
    """Returns an encoded example as a record, the same bytes in every process."""
    features, serializer = _open_serializer(normalised, example["mask"].shape)
    record = serializer.serialize_example(features.encode_example(example))
    return serialise_canonically(record)


@functools.cache
def _open_serializer(
    normalised: bool, canvas_hw: tuple[int, int]
) -> tuple[tfds.features.FeaturesDict, example_serializer.ExampleSerializer]:
    features = list_features(normalised=normalised, canvas_hw=canvas_hw)
    info = features.get_serialized_info()
    return features, example_serializer.ExampleSerializer(info)


def is_scaled(features: tfds.features.FeaturesDict) -> bool:
    """Tells whether the images of a data set are scaled to [0, 1]."""
    return np.issubdtype(features["image"].np_dtype, np.floating)


def is_sheet(features: tfds.features.FeaturesDict) -> bool:
    """Tells whether an example is a sheet with a mask of bones: `tfds_spect.sheets`."""
    return "windows" in features


def is_copy(example: Mapping[str, Any]) -> bool:
    """Tells whether a decoded example is a moved copy: an original was not moved."""
    return any(bool(value) for value in example["copy"].values())


def decode_texts(
    features: tfds.features.FeaturesDict, example: Mapping[str, Any]
) -> dict[str, str]:
    """Returns the names and words of a decoded example."""
    texts = {name: example[name].decode() for name in ("patient", "source")}
    for name in ("view", "label", "diagnosis", "mask_evidence"):
        texts[name] = features[name].int2str(int(example[name]))
    return texts


def decode_spacing(example: Mapping[str, Any]) -> tuple[float, float] | None:
    """Returns the (row, column) size of a pixel in mm, None if it is unknown."""
    row, column = (float(mm) for mm in example["spacing_mm"])
    return None if np.isnan(row + column) else (row, column)
