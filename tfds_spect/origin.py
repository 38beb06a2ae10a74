"""Which simulated patients a data set was made of, and how many of them trained."""

import pathlib
from collections.abc import Mapping
from typing import Any

from spectjax.system.limits import DATA_SET_INFO_BYTES
from spectjax.system.schema import Maybe, read_json
from tfds_spect.errors import PrepareError
from tfds_spect.names import AUGMENTED, Splits

_PHANTOM = {
    "population": str,
    "patients": int,
    "seed": int,
    "version": int,
    "synthetic": bool,
}


def describe_origin(
    builder_dir: pathlib.Path, splits: Splits, phantom: pathlib.Path
) -> dict[str, Any]:
    """Returns where the patients that a run was trained on come from.

    Args:
        builder_dir: folder of the data set.
        splits: what the run used of it.
        phantom: the folder that the data set was made of.

    Returns:
        `data_set` and its `data_set_version`; `patients` and `images` that trained;
        `population`, `simulated_patients`, `seed` and `phantom_version` of them all.

    Raises:
        PrepareError: if the data set holds a patient that nobody simulated, or the
            folder does not hold a phantom.
    """
    metadata = _read(
        builder_dir / "metadata.json",
        {"synthetic": bool, "parts": Maybe(dict)},
        "what a prepared data set says of itself",
    )
    if not metadata["synthetic"]:
        raise PrepareError(
            f"{builder_dir}: expected simulated patients alone, found real ones. What "
            "learnt from patients must not be handed on with a package; export such a "
            "run instead: python -m spectjax.export --workdir=RUN --output=FILE"
        )
    found = _read(phantom / "phantom.json", _PHANTOM, "a folder of simulated patients")
    names = {name.removesuffix(AUGMENTED) for name in splits.train.split("+")}
    parts = [metadata["parts"][name] for name in sorted(names)]
    return {
        "data_set": builder_dir.parent.name,
        "data_set_version": builder_dir.name,
        "patients": sum(part["patients"] for part in parts),
        "images": sum(part["images"] for part in parts),
        "population": found["population"],
        "simulated_patients": found["patients"],
        "seed": found["seed"],
        "phantom_version": found["version"],
    }


def _read(path: pathlib.Path, schema: Mapping[str, Any], what: str) -> dict[str, Any]:
    document: dict[str, Any] = read_json(
        path,
        schema,
        what=what,
        remedy="Give the --data_dir, or the --manual_dir, of the run's training.",
        most=DATA_SET_INFO_BYTES,
        error=PrepareError,
    )
    return document
