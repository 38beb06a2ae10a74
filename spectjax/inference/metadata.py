"""What an exported model tells about itself: its metadata, written and read.

Imports neither jax nor a runtime. The number of images in a batch is B.
"""

import hashlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from spectjax.imaging.canvas import CANVAS_HW, FRAME_HW, SHEET_HW
from spectjax.inference.answers import list_arrays
from spectjax.system.messages import DISCLAIMER, UserError
from spectjax.system.schema import Each, Maybe, find_fault
from spectjax.tasks import TASKS
from tfds_spect.names import find_canvas

OPERATION = "operation.json"  # in the folder of a run's scores
DIGEST = "sha256"  # by this name the metadata tell that the file has one
_CROP = (
    "spectjax.imaging.thorax.crop_thorax: the thorax at the file's own pixel size in "
    f"the middle of a canvas of {CANVAS_HW[0]}x{CANVAS_HW[1]}, zero around it; of that "
    "canvas the central part of this shape"
)
_FRAME = (
    "spectjax.imaging.thorax.frame.keep_frame: the whole frame at the file's own pixel "
    "size in the middle of a canvas of this shape, zero around it"
)
_SHEET = (
    "spectjax.bones.sheet.draw_sheet: both views side by side, grey from 0 to 255, "
    "each on a canvas whose pixels follow the length of the body"
)
METADATA_FORMAT = 1  # raise it when what is read here changes its name or meaning
_MOST_PIXELS = 4096  # along a side of the image that a model takes
# What is relied on.
_READ = {
    "task": str,
    "class_names": [str],
    "parameters_sha256": str,
    "model": Each(Maybe((str, float, bool))),
    "input": {"shape": [(str, int)]},
}
# What spectjax.ops.normalisation.NORMALISATIONS do to the counts c of one image.
FORMULAS = {
    "min_max": "(c - min c) / (max c - min c); 0 where max c = min c",
    "imagenet": "(x - 0.449) / 0.226 of x = (c - min c) / (max c - min c)",
    "divide_by_255": "c / 255",
    "none": "c",
    "square_root": "sqrt(c / m), m the mean of the positive c; 0 where there are none",
}


class ModelFileError(UserError):
    """A model that cannot be found, read or used; one line for the user."""


def make_metadata(
    config: Mapping[str, Any],
    info: Mapping[str, Any],
    *,
    parameters_sha256: str,
    operation: Any = None,
) -> dict[str, Any]:
    """Returns the metadata of an exported model, ready for JSON.

    Args:
        config: the run's config.
        info: where the model comes from, as predictions report it.
        parameters_sha256: what `hash_parameters` returns.
        operation: what the model knows about its use, None if nobody measured that.
    """
    normalisation = config["data"]["normalisation"]
    task, input_hw = config["task"], find_input_hw(config)
    depth = config.get("model", {}).get("detections", "D")
    arrays = list_arrays(task, input_hw, depth=depth)
    return {
        "format": METADATA_FORMAT,
        "disclaimer": DISCLAIMER,
        "model": dict(info),
        "parameters_sha256": parameters_sha256,
        DIGEST: "in this file, of all its other bytes",
        "task": task,
        "class_names": list(TASKS[task].class_names()),
        "input": {
            "name": "counts",
            "dtype": "float32",
            "shape": ["B", *input_hw, 1],
            "axes": ["image", "row", "column", "channel"],
            "unit": "counts per pixel, not normalised",
            "crop": {FRAME_HW: _FRAME, SHEET_HW: _SHEET}.get(input_hw, _CROP),
        },
        "normalisation": {
            "name": normalisation,
            "formula": FORMULAS[normalisation],
            "applied_by": "the exported model itself, to each image",
        },
        **({"outputs": arrays} if len(arrays) > 1 else {"output": arrays[0]}),
        "dtype": "float32",
        "config": dict(config),
        "operation": operation and operation.to_json(),
    }


def find_input_hw(config: Mapping[str, Any]) -> tuple[int, int]:
    """Returns the rows and columns that a run's model takes, of the canvas's centre.

    What marks hotspots marks the whole canvas, whatever part of it was trained on; a
    classifier sees what it was trained on.
    """
    if TASKS[config["task"]].whole_canvas:
        return find_canvas(config["data"].get("name", ""))
    height, width = config["data"]["train_hw"]
    return height, width


def hash_parameters(variables: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of a model's parameters and batch statistics.

    Of each array, by its path as `params/down0/conv1/kernel` in the order of these
    paths: the path in UTF-8, then the values as little-endian float32, last axis
    fastest.
    """
    from flax.traverse_util import flatten_dict  # here: a file needs no flax

    digest = hashlib.sha256()
    for path, array in sorted(flatten_dict(variables, sep="/").items()):
        digest.update(path.encode())
        digest.update(np.asarray(array, dtype="<f4").tobytes())
    return digest.hexdigest()


def parse_metadata(path: pathlib.Path, text: str | None) -> dict[str, Any]:
    """Returns the metadata of an exported model.

    Args:
        path: the model's file, for errors.
        text: what `make_metadata` returns, as JSON; None if the file has none.

    Raises:
        ModelFileError: if there is none, or another version of spectjax wrote it.
    """
    again = f"Write it again: python -m spectjax.export --workdir=RUN --output={path}"
    if text is None:
        raise ModelFileError(
            f"{path}: expected a model that spectjax exported, found one without its "
            f"metadata. {again}"
        )
    try:
        metadata = json.loads(text)
        fault = find_fault(metadata, {"format": object})
        if not fault and metadata["format"] == METADATA_FORMAT:
            fault = find_fault(metadata, _READ) or _find_fault_in_shape(metadata)
    except ValueError as error:
        fault = str(error)[:100]
    except RecursionError:
        fault = "nested too deep"
    if fault:
        raise ModelFileError(
            f"{path}: expected spectjax's metadata, found {text[:40]!r} ({fault}). "
            f"{again}"
        )
    if metadata["format"] != METADATA_FORMAT:
        raise ModelFileError(
            f"{path}: expected metadata of format {METADATA_FORMAT}, found "
            f"{metadata['format']!r:.40}: another version of spectjax wrote it. {again}"
        )
    task, names = metadata["task"], metadata["class_names"]
    known = TASKS[task].class_names() if task in TASKS else None
    if tuple(names) != known:
        expected, given = f"a model for {', '.join(TASKS)}", f"one for {task}"
        if known is not None:
            expected, given = f"the classes {', '.join(known)}", ", ".join(names)
        raise ModelFileError(
            f"{path}: expected {expected}, found {given}. Use the version of spectjax "
            f"that wrote it, {metadata['model'].get('spectjax_version', 'unknown')}."
        )
    return metadata


def _find_fault_in_shape(metadata: Mapping[str, Any]) -> str:
    """Returns that the model takes no images, should it be so."""
    match metadata["input"]["shape"]:
        case [_, int(height), int(width), 1]:
            if 0 < min(height, width) <= max(height, width) <= _MOST_PIXELS:
                return ""
    return "'input.shape': not (B, height, width, 1)"
