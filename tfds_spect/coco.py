"""Writes a prepared data set as COCO JSON and PNG, for tools that read those.

    python -m tfds_spect.coco --dataset=FOLDER --output_dir=coco

with FOLDER like data/tfds_spect/segmentation_phantom/2.0.0, writes for every split
annotations/<split>.json, and images/<example id>.png, 16-bit grey. Grey values are
counts, without loss; of images that are scaled to [0, 1] they are 65535 times the
value, rounded. A JSON file is written after all of its images.

Ids of images and annotations are the same whether one split is written or all, and
different in different splits: files are joined by appending their lists.

Exit status 1: the data set cannot be read, or a file cannot be written.
"""

import io
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import flags
from PIL import Image

from spectjax.system.commands import define_path, refuse_arguments, run_command
from spectjax.system.files import write_file, write_json
from spectjax.system.locks import hold
from spectjax.system.messages import DISCLAIMER
from tfds_spect.errors import PrepareError

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

# Of one image; the ids of its annotations follow from its own.
MAX_LESIONS = 1000
_WHITE = np.iinfo(np.uint16).max


def export_coco(
    builder_dir: pathlib.Path, output_dir: pathlib.Path, splits: Sequence[str] = ()
) -> list[pathlib.Path]:
    """Writes some or all splits of a data set and returns the JSON files.

    Files that are there are replaced.

    Raises:
        PrepareError: if there is no such data set or split, or more than a thousand
            lesions in an image.
        WriteError: if a file cannot be written.
    """
    # Here, so that --help need not wait for TFDS.
    from tqdm import tqdm

    from tfds_spect.opening import open_data_set
    from tfds_spect.reading import open_split

    info = open_data_set(builder_dir).info
    known = sorted(info.splits)
    unknown = [split for split in splits if split not in known]
    if unknown:
        raise PrepareError(
            f"{builder_dir}: expected splits out of {', '.join(known)}, got "
            f"{', '.join(unknown)}. Leave out --split to write all of them."
        )
    written = []
    first_id = 1
    for split in known:
        if not splits or split in splits:
            images: list[dict[str, Any]] = []
            annotations: list[dict[str, Any]] = []
            records = open_split(builder_dir, split)
            bar = tqdm(records, split, len(records), unit=" images", disable=None)
            for image_id, example in enumerate(bar, start=first_id):
                images.append(make_image(info.features, example, image_id))
                write_file(
                    output_dir / "images" / images[-1]["file_name"],
                    encode_png(example["image"][..., 0]),
                )
                annotations += list_annotations(example, image_id)
            document = {
                "info": make_info(info, split, images),
                "licenses": [],
                "categories": _list_categories(info.features),
                "images": images,
                "annotations": annotations,
            }
            written.append(output_dir / "annotations" / f"{split}.json")
            write_json(written[-1], document)
        first_id += info.splits[split].num_examples
    return written


def make_info(
    info: "tfds.core.DatasetInfo", split: str, images: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Returns what COCO calls `info`: what a reader of the file alone must know."""
    from tfds_spect.features import is_scaled

    mark = "SYNTHETIC. " if any(image["synthetic"] for image in images) else ""
    scaled = f"{_WHITE} times the value in [0, 1], rounded"
    return {
        "description": f"{info.full_name}, {split}. {mark}{DISCLAIMER}",
        "version": str(info.version),
        "split": split,
        "leaking": bool(info.metadata.get("leaking", False)),
        "grey_values": scaled if is_scaled(info.features) else "counts",
        "mask_evidence": "boxes: a mask is a filled box; none: nothing was outlined, "
        "so that an image without annotations is not for that reason normal",
    }


def _list_categories(features: "tfds.features.FeaturesDict") -> list[dict[str, Any]]:
    names = features["instance_labels"].feature.names
    return [
        {"id": number, "name": name, "supercategory": "lesion"}
        for number, name in enumerate(names, start=1)
    ]


def make_image(
    features: "tfds.features.FeaturesDict", example: Mapping[str, Any], image_id: int
) -> dict[str, Any]:
    """Returns a COCO image of this id, with what is known of it beyond COCO."""
    from tfds_spect.features import decode_spacing, decode_texts, is_copy

    height, width = example["image"].shape[:2]
    moved = {name: int(value) for name, value in example["copy"].items()}
    moved["mirror"] = bool(moved["mirror"])
    spacing_mm = decode_spacing(example)
    return {
        "id": image_id,
        "file_name": f"{example['example_id'].decode()}.png",
        "width": width,
        "height": height,
        **decode_texts(features, example),
        "fold": int(example["fold"]),
        "copy": moved if is_copy(example) else None,
        "spacing_mm": spacing_mm and [round(mm, 6) for mm in spacing_mm],
        "crop_box": example["crop_box"].tolist(),
        "frame_hw": example["frame_hw"].tolist(),
        "synthetic": bool(example["synthetic"]),
    }


def list_annotations(
    example: Mapping[str, Any], image_id: int
) -> Iterator[dict[str, Any]]:
    """Yields a COCO annotation for each lesion of an example.

    Boxes are [x, y, width, height] in pixels, the tightest around the mask; masks are
    uncompressed run lengths, column by column.

    Raises:
        PrepareError: if there are more lesions than ids.
    """
    from spectjax.imaging.hotspots import bound_mask, encode_rle

    masks = example["instance_masks"].astype(bool)
    if len(masks) > MAX_LESIONS:
        raise PrepareError(
            f"{example['example_id'].decode()}: expected at most {MAX_LESIONS} "
            f"lesions, found {len(masks)}."
        )
    for number, (mask, label) in enumerate(
        zip(masks, example["instance_labels"], strict=True)
    ):
        y0, x0, y1, x1 = bound_mask(mask)
        yield {
            "id": image_id * MAX_LESIONS + number,
            "image_id": image_id,
            "category_id": int(label) + 1,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": int(mask.sum()),
            "segmentation": encode_rle(mask),
            "iscrowd": 0,
        }


def encode_png(image: np.ndarray) -> bytes:
    """Returns an image, (H, W), uint16 or float32 in [0, 1], as PNG of 16-bit grey."""
    if image.dtype != np.uint16:
        image = np.rint(image.astype(np.float64) * _WHITE).astype(np.uint16)
    png = io.BytesIO()
    Image.fromarray(image).save(png, format="PNG")
    return png.getvalue()


def main(argv: list[str]) -> None:
    """Writes what the flags name."""
    refuse_arguments(argv)
    from tfds_spect.prepare import quiet_tfds

    values = flags.FLAGS
    with hold(values.output_dir), quiet_tfds():
        written = export_coco(values.dataset, values.output_dir, values.split)
    for path in written:
        print(path)


if __name__ == "__main__":  # flags are global to a process
    define_path(
        "dataset",
        "Folder of the data set, .../tfds_spect/<config>/<version>.",
        required=True,
    )
    define_path("output_dir", "Folder to write to.", required=True)
    flags.DEFINE_list(
        "split", [], "Splits to write, such as fold0,fold1; by default all of them."
    )
    run_command(main)
