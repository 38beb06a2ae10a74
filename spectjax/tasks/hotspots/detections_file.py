"""Detections on disk: `detections.json`, as COCO has lesions and results.

It holds all that box and mask scores are made of, so that runs can be scored again and
joined without their models. Numbers are written so that reading gives the very same
ones.
"""

import json
import pathlib
from typing import Any

import numpy as np

from spectjax.evaluation.metrics_sections import Data
from spectjax.imaging.hotspots import CLASS_NAMES, decode_rle
from spectjax.system.files import write_json
from spectjax.system.limits import SCORES_BYTES, read_limited
from spectjax.system.messages import DISCLAIMER, SYNTHETIC, UserError
from spectjax.tasks.hotspots.detections import DetectionCases, Outlines

FILE = "detections.json"
_CATEGORIES = [
    {"id": label, "name": name} for label, name in enumerate(CLASS_NAMES[1:], start=1)
]


def write_detections(path: pathlib.Path, cases: DetectionCases, data: Data) -> None:
    """Writes what a model detected, and what it should have.

    The file is a COCO data set: `images` (`file_name` is the example's name),
    `categories` and `annotations`, the readers' lesions. Besides, `detections` is a
    list of COCO results. Boxes are [x, y, width, height] in pixels; masks uncompressed
    run lengths. Of pycocotools, `COCO(path)` reads the file, and its `loadRes` takes
    `detections`: for masks without `bbox`, since it takes areas from boxes where there
    are any, and with masks compressed by `pycocotools.mask.frPyObjects`.

    Args:
        path: target, usually `<workdir>/eval/detections.json`.
        cases: images, lesions and detections.
        data: `name`, `split` and `synthetic` of the images, as in `metrics.json`.

    Raises:
        WriteError: if the file cannot be written.
    """
    notes = [SYNTHETIC] * data["synthetic"] + [DISCLAIMER]
    lesions = [
        {**entry, "area": sum(entry["segmentation"]["counts"][1::2]), "iscrowd": 0}
        for entry in _list_entries(cases.lesions)
    ]
    document = {
        "info": {"description": f"{data['name']} {data['split']}. {' '.join(notes)}"},
        "images": [
            {
                "id": number,
                "file_name": example_id,
                "patient": patient,
                "height": height,
                "width": width,
            }
            for number, (example_id, patient, (height, width)) in enumerate(
                zip(cases.example_ids, cases.patients, cases.sizes, strict=True), 1
            )
        ],
        "categories": _CATEGORIES,
        "annotations": [
            {"id": number, **entry} for number, entry in enumerate(lesions, start=1)
        ],
        "detections": [
            {**entry, "score": score}
            for entry, score in zip(
                _list_entries(cases.detections),
                [float(score) for each in cases.detections for score in each.scores],
                strict=True,
            )
        ],
    }
    write_json(path, document)


def read_detections(path: pathlib.Path) -> DetectionCases:
    """Reads what `write_detections` wrote.

    Raises:
        UserError: if the file is missing or not such a one.
    """
    try:
        document = json.loads(read_limited(path, SCORES_BYTES))
        if document["categories"] != _CATEGORIES:
            raise ValueError(f"its categories are {document['categories']}")
        images = document["images"]
        if [image["id"] for image in images] != list(range(1, len(images) + 1)):
            raise ValueError("its images are not numbered from 1")
        sizes = [(image["height"], image["width"]) for image in images]
        return DetectionCases(
            example_ids=[image["file_name"] for image in images],
            patients=[image["patient"] for image in images],
            sizes=sizes,
            lesions=_read_entries(
                [{**entry, "score": 1.0} for entry in document["annotations"]], sizes
            ),
            detections=_read_entries(document["detections"], sizes),
        )
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise UserError(
            f"{path}: expected detections as this version writes them "
            f"({_describe(error)}). Remove {path.parent}; the same command evaluates "
            "again."
        ) from error


def read_run_detections(
    eval_dir: pathlib.Path, example_ids: list[str]
) -> DetectionCases:
    """Reads the detections that an evaluation wrote.

    Args:
        eval_dir: folder of an evaluation, usually `<workdir>/eval`.
        example_ids: the images of the tables beside it.

    Raises:
        UserError: if the file is missing, not such a one, or of other images.
    """
    path = eval_dir / FILE
    found = read_detections(path)
    if found.example_ids != example_ids:
        raise UserError(
            f"{path}: expected the images of cases.csv beside it, found others. Remove "
            f"{eval_dir}; the same command evaluates again."
        )
    return found


def _list_entries(images: list[Outlines]) -> list[dict[str, Any]]:
    """Returns what lesions and detections have in common, image by image."""
    entries = []
    for number, outlines in enumerate(images, start=1):
        for box, label, mask in zip(
            outlines.boxes.tolist(), outlines.labels, outlines.masks, strict=True
        ):
            y0, x0, y1, x1 = box
            entries.append(
                {
                    "image_id": number,
                    "category_id": int(label),
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "segmentation": mask,
                }
            )
    return entries


def _read_entries(
    entries: list[dict[str, Any]], sizes: list[tuple[int, int]]
) -> list[Outlines]:
    """Returns lesions or detections of each image, in the order of the file."""
    images: list[list[dict[str, Any]]] = [[] for _ in sizes]
    for entry in entries:
        number, mask = entry["image_id"], entry["segmentation"]
        if not 1 <= number <= len(sizes):
            raise ValueError(f"there is no image {number}")
        if not 1 <= entry["category_id"] <= len(_CATEGORIES):
            raise ValueError(f"there is no category {entry['category_id']}")
        if decode_rle(mask).shape != sizes[number - 1]:
            raise ValueError(f"a mask of image {number} has the size {mask['size']}")
        numbers = np.array([*entry["bbox"], entry["score"]], np.float64)
        if numbers.size != 5 or not np.isfinite(numbers).all():
            raise ValueError(f"an outline of image {number} lacks a box or a score")
        images[number - 1].append(entry)
    return [_collect(each) for each in images]


def _collect(entries: list[dict[str, Any]]) -> Outlines:
    x0, y0, width, height = (
        np.array([entry["bbox"] for entry in entries], np.float64).reshape(-1, 4).T
    )
    return Outlines(
        boxes=np.stack([y0, x0, y0 + height, x0 + width], axis=1).astype(np.float32),
        labels=np.array([entry["category_id"] for entry in entries], np.int32),
        scores=np.array([entry["score"] for entry in entries], np.float32),
        masks=[entry["segmentation"] for entry in entries],
    )


def _describe(error: Exception) -> str:
    """Returns an error in one line; a KeyError says only the key."""
    return f"there is no {error}" if isinstance(error, KeyError) else str(error)
