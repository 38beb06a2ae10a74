"""The model card of the model that ships: one text, for `--about` and for the docs.

`card.md` beside the weights is its text, with a name in place of each number: numbers
come from `model.json`, and what was measured from `measured.json`. The latter names the
model that it was measured on. Of another one nothing is shown: it would be a statement
about weights that nobody measured.
"""

import pathlib
import string
from collections.abc import Mapping, Sequence
from typing import Any

from spectjax.inference.metadata import ModelFileError
from spectjax.inference.ready import (
    DOCUMENT,
    FOLDER,
    REMEDY,
    find_file,
    read_document,
)
from spectjax.inference.trained import parse_operation
from spectjax.system.limits import CONFIG_BYTES, read_limited
from spectjax.system.messages import DISCLAIMER
from spectjax.system.schema import Maybe, read_json

TEMPLATE, MEASURED = "card.md", "measured.json"
UNKNOWN = "**not measured yet**"
_FACT = {"what": str, "of": str, "found": Maybe(str)}
_READ = {"model": Maybe(str), "facts": [_FACT], "failures": [str]}


def write_card(folder: pathlib.Path = FOLDER) -> str:
    """Returns the model card as Markdown.

    Raises:
        ModelFileError: if a file is missing or damaged.
    """
    document = read_document(folder)
    path = find_file(folder, TEMPLATE)
    text = read_limited(path, CONFIG_BYTES, error=ModelFileError)
    measured = read_measured(folder, document["name"])
    try:
        return (
            string.Template(text.decode())
            .substitute(
                name=document["name"],
                disclaimer=DISCLAIMER,
                commit=document.get("commit") or "unknown",
                members=_list_members(document["members"]),
                input="x".join(map(str, document["input"]["shape"][1:3])),
                operation=_list_points(
                    parse_operation(
                        document["operation"], document["task"], folder / DOCUMENT
                    )
                ),
                measured=_list_facts(measured["facts"]),
                failures="\n".join(f"- {text}" for text in measured["failures"]),
            )
            .rstrip()
        )
    except (LookupError, ValueError) as error:
        raise ModelFileError(
            f"{path}: expected the text of a model card, found damage ({error}). "
            f"{REMEDY}"
        ) from error


def read_measured(folder: pathlib.Path, name: str) -> dict[str, Any]:
    """Returns what was measured on a model: of another one, the questions alone."""
    document: dict[str, Any] = read_json(
        find_file(folder, MEASURED),
        _READ,
        what="what was measured on a model",
        remedy=REMEDY,
        most=CONFIG_BYTES,
        error=ModelFileError,
    )
    if document["model"] == name:
        return document
    unknown = [fact | {"found": None} for fact in document["facts"]]
    return {"facts": unknown, "failures": [f"Where it fails: {UNKNOWN}."]}


def _list_facts(facts: Sequence[Mapping[str, Any]]) -> str:
    """Returns a table of what was measured, and on what."""
    rows = (f"| {x['what']} | {x['found'] or UNKNOWN} | {x['of']} |" for x in facts)
    return "\n".join(["| what | found | on |", "|---|---|---|", *rows])


def _list_points(operation: Any) -> str:
    """Returns what is marked at each operating point, and on whom that was measured."""
    if operation is None:
        return (
            f"Operating points: {UNKNOWN}. It marks all regions in which abnormal "
            "uptake is the most probable class."
        )
    on = operation.measured_on
    whom = "simulated" if on["synthetic"] else "real"
    seen = ", WHO TRAINED IT TOO, so that all this is too good," * on["learnt_from"]
    rows = [
        f"Regions of {operation.min_area_mm2:.0f} mm² and more are marked whose score "
        "is above that of the operating point (`--operating_point`). On "
        f"{on['n_images']} images of {on['n_patients']} {whom} patients{seen} with "
        f"{on['n_lesions']} lesions:",
        "",
        "| point | score above | false regions per image | lesions found "
        "| images without lesion marked |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, point in operation.points.items():
        found, marked = (
            "unknown" if share is None else f"{share:.2f}"
            for share in (point.sensitivity, point.marked_without_lesion)
        )
        rows.append(
            f"| {name} | {point.score:.2f} | {point.false_per_image:.2f} | {found} "
            f"| {marked} |"
        )
    return "\n".join(rows)


def _list_members(members: Sequence[Mapping[str, Any]]) -> str:
    """Returns a table of the members and what each was trained on."""
    rows = [
        "| weights | network, epochs | trained on | of | phantom |",
        "|---|---|---|---|---|",
    ]
    for member in members:
        data, config = member["trained_on"], member["config"]
        network = config["model"]
        width = f" {tuple(network['features'])}" if "features" in network else ""
        rows.append(
            f"| `{member['file']}` | {network['name']}{width}, {config['num_epochs']} "
            f"| {data['images']} images of {data['patients']} simulated patients "
            f"| {data['simulated_patients']}, population {data['population']}, "
            f"seed {data['seed']} | version {data['phantom_version']} |"
        )
    return "\n".join(rows)
