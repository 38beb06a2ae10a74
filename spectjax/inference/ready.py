"""The model that ships with the package: read, checked and run by jax.

A folder holds it: `model.json` and a safetensors file for each member, which
`python -m spectjax.ready` packs; and what the model card says beside that. Batch,
height, width and class axes are B, H, W and K.
"""

import dataclasses
import hashlib
import pathlib
from collections.abc import Mapping
from typing import Any, cast

import numpy as np

import spectjax
from spectjax.inference.answers import Answer
from spectjax.inference.engines import quote
from spectjax.inference.ensembles import combine
from spectjax.inference.metadata import ModelFileError, find_input_hw
from spectjax.inference.regions import add_regions
from spectjax.inference.trained import TrainedModel, parse_operation
from spectjax.system.jax_setup import start_jax
from spectjax.system.limits import METADATA_BYTES, READY_BYTES, read_limited
from spectjax.system.schema import Each, Maybe, read_json
from spectjax.tasks import TASKS
from spectjax.weights import WeightsError

FOLDER = pathlib.Path(spectjax.__file__).with_name("ready")
WHOLE_BODY = FOLDER / "whole_body"  # the one that looks at whole frames
DOCUMENT = "model.json"
FORMAT = 1  # raise it when what is read here changes its name or meaning
REMEDY = "Install spectjax again; in a clone: git restore spectjax/ready"
_READ = {
    "format": int,
    "name": str,
    "task": str,
    "class_names": [str],
    "input": {"shape": [(str, int)], "pixel_mm": Maybe(float)},
    "operation": Maybe(dict),  # what it knows about its use, as its task reads it
    "members": [
        {
            "file": str,
            "sha256": str,
            "parameters_sha256": str,
            "model": Each(Maybe((str, float, bool))),
            "trained_on": {
                "images": int,
                "patients": int,
                "simulated_patients": int,
                "population": str,
                "seed": int,
                "phantom_version": int,
            },
            "config": dict,
        }
    ],
}


def read_document(folder: pathlib.Path = FOLDER) -> dict[str, Any]:
    """Returns what `model.json` says of a model that is ready to use.

    Raises:
        ModelFileError: if there is none, it is damaged, or of another version.
    """
    path = find_file(folder, DOCUMENT)
    document: dict[str, Any] = read_json(
        path,
        _READ,
        what="a model that is ready to use",
        remedy=REMEDY,
        most=METADATA_BYTES,
        error=ModelFileError,
    )
    fault = _find_fault(document)
    if fault:
        raise ModelFileError(
            f"{path}: expected a model for this version of spectjax, "
            f"{spectjax.__version__}, found {fault}. {REMEDY}"
        )
    return document


def find_file(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Returns the path of a file of a model that is ready to use.

    Raises:
        ModelFileError: if it is not there.
    """
    if not (folder / name).is_file():
        raise ModelFileError(
            f"{folder / name}: expected a file of the model that ships with spectjax, "
            f"found none. {REMEDY}"
        )
    return folder / name


def _find_fault(document: Mapping[str, Any]) -> str:
    """Returns what keeps a document from being used here; empty if nothing does."""
    if document["format"] != FORMAT:
        return f"one of format {document['format']}, not {FORMAT}"
    task = document["task"]
    if task not in TASKS:
        return f"one for {task[:40]!r}"
    if tuple(document["class_names"]) != TASKS[task].class_names():
        return f"one of the classes {', '.join(document['class_names'])[:80]}"
    if not document["members"]:
        return "one without members"
    if len(document["members"]) > 1 and TASKS[task].average is None:
        return f"several members for {task}, whose answers have no mean"
    return ""


def load_ready(folder: pathlib.Path = FOLDER) -> TrainedModel:
    """Returns the model of a folder; of several members the mean of what they say.

    It computes in float32 by XLA's own operations: no compiler is asked for, whatever
    is installed.

    Raises:
        ModelFileError: if the folder is not what was packed.
        ImportError: if jax is not installed.
        StartError: if a setting of the environment keeps jax from computing.
    """
    document = read_document(folder)
    weights = [read_weights(folder, member) for member in document["members"]]
    start_jax()
    members = [
        _make_member(folder, member, variables)
        for member, variables in zip(document["members"], weights, strict=True)
    ]
    names = [pathlib.Path(each["file"]).stem for each in document["members"]]
    model = members[0] if len(members) == 1 else combine(members, names)
    return dataclasses.replace(
        model,
        info={"name": document["name"]} | model.info,
        operation=parse_operation(
            document["operation"], document["task"], folder / DOCUMENT
        ),
        pixel_mm=document["input"].get("pixel_mm"),
    )


def read_weights(folder: pathlib.Path, member: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the variables of a member, checked against its digest.

    Raises:
        ModelFileError: if the file is not the one that was packed.
    """
    # Here, since an exported model does not need it.
    from spectjax.weights.tensors import unpack_tensors

    path = find_file(folder, pathlib.Path(member["file"]).name)
    content = read_limited(path, READY_BYTES, error=ModelFileError)
    if hashlib.sha256(content).hexdigest() != member["sha256"]:
        raise ModelFileError(
            f"{path}: expected the weights that {DOCUMENT} tells of, found others: the "
            f"file is damaged, or of another version. {REMEDY}"
        )
    try:
        return unpack_tensors(content)
    except WeightsError as error:
        raise ModelFileError(
            f"{path}: expected a model's weights, found {error}. {REMEDY}"
        ) from error


def _make_member(
    folder: pathlib.Path, member: Mapping[str, Any], variables: Mapping[str, Any]
) -> TrainedModel:
    """Returns one member, see `load_ready`."""
    # Here, since --help and --about need none of them.
    import jax
    from flax.errors import FlaxError

    from spectjax.config import parse_config
    from spectjax.ops.backend import plain_operations
    from spectjax.ops.convolution import compiler_options
    from spectjax.training.assembly import create_task

    path = folder / DOCUMENT
    config = parse_config(member["config"], str(path)).copy_and_resolve_references()
    config.dtype = "float32"
    task = create_task(config)
    ask = jax.jit(task.predict, compiler_options=compiler_options())
    placed = jax.device_put(variables)  # once, not with every image

    def predict(counts: np.ndarray) -> Answer:
        counts = jax.device_put(np.asarray(counts, np.float32))
        try:
            with plain_operations():
                answer = ask(placed, counts)
        except FlaxError as error:
            raise ModelFileError(
                f"{path}: expected weights that fit {config.model.name} as this "
                f"version of spectjax has it, found others ({quote(error)}). {REMEDY}"
            ) from error
        return cast(Answer, jax.tree.map(np.asarray, answer))

    return TrainedModel(
        predict,
        add_regions(member["model"], member["config"])
        | {
            "parameters_sha256": member["parameters_sha256"],
            "verified": True,
            "runtime": f"jax {jax.__version__}",
        },
        config.task,
        find_input_hw(config),
    )
