"""Changes of bytes, JSON and tables, as damage, chance and malice make them."""

import copy
import json
import math
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

import numpy as np

_NUMBERS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    "",
    "\0",
    "../../x",
    "é\u202e\x1b[2J",
    "x" * 5000,
    -1,
    0,
    1e308,
    -1e-320,
    math.nan,
    math.inf,
    10**400,
    [],
    [[]],
    {},
    {"a": []},
    [0] * 1000,
)
# What users and spreadsheets write into cells.
_ODD_CELLS = (
    "",
    "0",
    "-1",
    "1e999",
    "nan",
    "007",
    "1.0",
    "maybe",
    "Normal ",
    "x" * 300,
    '"',
    "a\nb",
    "../../etc/passwd",
    "é\u202e",
    ";",
)


def mutate_bytes(
    rng: np.random.Generator,
    contents: bytes,
    others: Sequence[bytes] = (),
    *,
    head: int = 2048,
) -> bytes:
    """Returns contents with one to four changes, half of them within the first `head`.

    Args:
        rng: decides everything.
        contents: bytes, any number.
        others: further contents of the kind; a part of one may be put in.
        head: bytes, where formats keep their structure.
    """
    data = bytearray(contents)
    for _ in range(min(rng.geometric(0.5), 4)):
        end = len(data) if rng.random() < 0.5 else min(head, len(data))
        place = int(rng.integers(end)) if end else 0
        length = int(min(rng.geometric(0.02), 4096))
        match int(rng.integers(9)):
            case 0 | 1 if data:
                data[place] ^= 1 << int(rng.integers(8))
            case 2 if data:
                data[place] = int(rng.integers(256))
            case 3:
                del data[place:]
            case 4:
                del data[place : place + length]
            case 5:
                data[place:place] = data[place : place + length]
            case 6:
                data[place:place] = rng.bytes(length)
            case 7:
                number = int(rng.choice(_NUMBERS))
                order = "little" if rng.random() < 0.5 else "big"
                size = int(rng.choice((2, 4, 8)))
                value = number % 256**size
                data[place : place + size] = value.to_bytes(size, order)
            case 8 if others:
                other = others[int(rng.integers(len(others)))]
                start = int(rng.integers(len(other) + 1))
                data[place : place + length] = other[start : start + length]
    return bytes(data)


def mutate_json(rng: np.random.Generator, text: str) -> str:
    """Returns JSON in which some values are others, are gone, or stand twice."""
    document = json.loads(text)
    for _ in range(int(rng.integers(1, 4))):
        holder, key = _pick_value(rng, document)
        if holder is None:
            continue
        match int(rng.integers(5)):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, list):
                holder.insert(key, holder[key])
            case 2 if isinstance(holder, list):
                holder.extend(holder[:1] * int(rng.integers(3000)))
            case 3 if isinstance(holder[key], float):
                holder[key] *= float(rng.choice((-1, 0.5, 100, 1e300)))
            case _:
                odd = _ODD_VALUES[int(rng.integers(len(_ODD_VALUES)))]
                holder[key] = copy.deepcopy(odd)
    if rng.random() < 0.05:
        depth = int(rng.integers(50, 100_000))
        return json.dumps(document)[:-1] + ', "deep": ' + "[" * depth + "]" * depth
    return json.dumps(document)


def _pick_value(rng: np.random.Generator, document: Any) -> tuple[Any, Any]:
    """Returns a list or dict anywhere in a document, and one of its keys."""
    holder, key = None, None
    here = document
    while isinstance(here, list | dict) and here:
        keys = list(here) if isinstance(here, dict) else range(len(here))
        holder, key = here, keys[int(rng.integers(len(keys)))]
        if rng.random() < 0.3:
            break
        here = here[key]
    return holder, key


def mutate_xml(rng: np.random.Generator, text: str) -> str:
    """Returns XML in which some elements have another text, are gone or stand twice."""
    root = ElementTree.fromstring(text)
    for _ in range(int(rng.integers(1, 4))):
        holders = [element for element in root.iter() if len(element)]
        if not holders:
            break
        holder = holders[int(rng.integers(len(holders)))]
        place = int(rng.integers(len(holder)))
        match int(rng.integers(5)):
            case 0:
                holder.remove(holder[place])
            case 1:
                holder.extend([holder[place]] * int(rng.choice((1, 2, 3000))))
            case 2:
                holder[place].tag = "x"
            case _:
                cell = _ODD_CELLS[int(rng.integers(len(_ODD_CELLS)))]
                holder[place].text = cell
    return ElementTree.tostring(root, encoding="unicode")


def mutate_table(rng: np.random.Generator, text: str) -> str:
    """Returns a comma-separated table with some cells changed, moved or gone."""
    rows = [line.split(",") for line in text.splitlines()]
    for _ in range(int(rng.integers(1, 4))):
        row = rows[int(rng.integers(len(rows)))]
        if not row:
            continue
        place = int(rng.integers(len(row)))
        match int(rng.integers(5)):
            case 0:
                del row[place]
            case 1:
                row.insert(place, row[place])
            case 2:
                rows.append(list(row))
            case 3:
                other = rows[int(rng.integers(len(rows)))]
                row[place] = other[min(place, len(other) - 1)] if other else ""
            case _:
                row[place] = _ODD_CELLS[int(rng.integers(len(_ODD_CELLS)))]
    return "\n".join(",".join(row) for row in rows) + "\n"
