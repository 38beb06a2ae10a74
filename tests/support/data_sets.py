"""Small data sets whose every pixel a test chooses, written as the builder writes."""

import hashlib
import pathlib
import tempfile

import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from tfds_spect.features import list_features
from tfds_spect.prepare import quiet_tfds
from tfds_spect.writers import CanonicalWriter, list_formats

MOVED = {"mirror": True, "dx": 3, "dy": 0, "degrees": -1}


def make_image(
    patient,
    *,
    view="anterior",
    diagnosis="multiple bone metastasis",
    counts=None,
    masks=(),
    fold=0,
    copy=None,
    spacing_mm=(2.0, 2.5),
    evidence="outlines",
    synthetic=True,
):
    """Features of one example; `masks` are (y0, x0, y1, x1) of filled rectangles."""
    if counts is None:
        counts = np.zeros((256, 256), np.uint16)
        counts[60:190, 70:180] = 10
    instance_masks = np.zeros((len(masks), 256, 256), np.uint8)
    for mask, (y0, x0, y1, x1) in zip(instance_masks, masks, strict=True):
        mask[y0:y1, x0:x1] = 1
    source = hashlib.sha256(f"{patient} {view}".encode()).hexdigest()[:16]
    suffix = "" if copy is None else "_copy00"
    return {
        "image": counts[..., None],
        "label": "normal" if diagnosis == "normal" else "metastasis",
        "diagnosis": diagnosis,
        "mask": instance_masks.max(axis=0, initial=0),
        "mask_evidence": evidence,
        "instance_masks": instance_masks,
        "instance_boxes": np.array(masks, np.float32).reshape(-1, 4),
        "instance_labels": ["metastasis"] * len(masks),
        "example_id": f"{patient}_{view}_{source[:8]}{suffix}",
        "patient": patient,
        "view": view,
        "spacing_mm": np.array(spacing_mm, np.float32),
        "crop_box": np.array((100, 50, 230, 160), np.int32),
        "frame_hw": np.array((1024, 256), np.int32),
        "source": source,
        "copy": copy or {"mirror": False, "dx": 0, "dy": 0, "degrees": 0},
        "fold": fold,
        "synthetic": synthetic,
    }


class Tiny(tfds.core.GeneratorBasedBuilder):
    """Writes the splits it is given."""

    VERSION = tfds.core.Version("2.0.0")
    pkg_dir_path = pathlib.Path(__file__).parent
    code_path = epath.Path(__file__)

    def __init__(self, *, content, metadata, **kwargs):
        """Takes the examples of each split, and what every builder takes."""
        self._content, self._metadata = content, metadata
        super().__init__(**kwargs)
        for file_format in list_formats()[1:]:
            self.info.add_alternative_file_format(file_format)

    def _info(self):
        first = next(iter(self._content.values()))[0]
        normalised = first["image"].dtype == np.float32
        return tfds.core.DatasetInfo(
            builder=self,
            features=list_features(normalised=normalised),
            metadata=tfds.core.MetadataDict(self._metadata) if self._metadata else None,
        )

    def _example_writer(self):
        return CanonicalWriter(self.info.file_format)

    def _split_generators(self, dl_manager):
        return {name: self._generate_examples(name) for name in self._content}

    def _generate_examples(self, name):
        for example in self._content[name]:
            yield example["example_id"], example


def write_data_set(folder, content, *, leaking=False, **metadata):
    """Writes splits (lists of `make_image`) and returns the data set's folder."""
    metadata |= {"leaking": True} if leaking else {}
    with quiet_tfds(), tempfile.TemporaryDirectory() as downloads:
        builder = Tiny(content=content, metadata=metadata, data_dir=folder)
        builder.download_and_prepare(download_dir=downloads)
    return pathlib.Path(builder.data_path)
