"""The index of a folder of study pages: the most doubtful first, none forgotten.

A page holds what the index says of it. So the index of a run lists the pages of earlier
runs too, apart and as what they are; a page whose images were read again under another
name says so.
"""

import html
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from spectjax.pages.study import FORMAT, Row
from spectjax.pages.writing import fill_page
from spectjax.system.files import write_file
from spectjax.system.limits import KIB
from spectjax.system.messages import make_printable
from spectjax.system.schema import Maybe, find_fault

INDEX = "index.html"
_HEAD_BYTES = 256 * KIB  # a row stands at the top and has a few hundred
_SHOWN = 200  # sentences on what was passed over; the number of all is said
_HEAD = re.compile(
    rf'\A<!doctype html>\n<html lang="en" data-spectjax-page="{FORMAT}">\n'
    r'<head>\n<meta charset="utf-8">\n'
    r'<script type="application/json" id="row">([^<]*)</script>'
)
_SCHEMA = {
    "title": str,
    "images": [str],
    "views": [str],
    "found": str,
    "in_doubt": bool,
    "doubt": Maybe(float),
    "warnings": int,
    "passed_over": int,
    "synthetic": bool,
    "model": str,
    "command": str,
    "written": str,
}


def read_row(path: Path) -> Row | None:
    """Returns what a page says of its study; None if it is no page of ours."""
    try:
        # A pipe would be waited for.
        if not path.is_file():
            return None
        with path.open("rb") as stream:
            head = stream.read(_HEAD_BYTES).decode(errors="replace")
        found = _HEAD.match(head)
        document = json.loads(found[1]) if found else None
    except (OSError, ValueError, RecursionError):
        return None
    if document is None or find_fault(document, _SCHEMA):
        return None
    return Row(**{name: document[name] for name in _SCHEMA})


def rank(rows: Mapping[str, Row]) -> list[tuple[str, Row]]:
    """Returns pages by name and row: crops in doubt, then most corrections expected.

    One of which nobody knows how many comes before all that are known.
    """
    return sorted(
        rows.items(),
        key=lambda item: (
            not item[1].in_doubt,
            float("-inf") if item[1].doubt is None else -item[1].doubt,
            item[0],
        ),
    )


def write_index(folder: Path, rows: Mapping[str, Row], problems: Sequence[str]) -> None:
    """Writes the index of a folder of pages.

    Args:
        folder: with the pages.
        rows: of this run, by the name of the page's file.
        problems: what this run could not use, a sentence each, without folders.

    Raises:
        WriteError: if it cannot be written.
    """
    earlier, strangers = {}, 0
    for path in sorted(folder.glob("*.html")):
        if path.name in rows or path.name == INDEX:
            continue
        row = read_row(path)
        if row is None:
            strangers += 1
        else:
            earlier[path.name] = row
    again = {image for row in rows.values() for image in row.images}
    parts = [
        "<h2>This run</h2>",
        f"<p>{_count(len(rows), 'study', 'studies')}, the most doubtful first: crops "
        "in doubt, then the most corrections expected. Nothing marked does not "
        "mean normal.</p>",
        _make_table(rank(rows), set()),
    ]
    if problems:
        shown = "".join(f"<li>{_escape(text)}</li>" for text in problems[:_SHOWN])
        more = len(problems) - _SHOWN
        parts += [
            "<h2>Not used in this run</h2>",
            f"<p>{_count(len(problems), 'file or view', 'files and views')} could not "
            "be used, in whole or in part: of what is in them nothing is said but what "
            "stands above.</p>",
            f'<ul class="problems">{shown}</ul>',
            f"<p>... and {more} more: see what the command printed.</p>" * (more > 0),
        ]
    if earlier:
        parts += [
            "<h2>Earlier runs</h2>",
            "<p>These pages were in the folder before. This run did not write them; "
            "model and options may be others.</p>",
            _make_table(rank(earlier), again),
        ]
    if strangers:
        files = _count(strangers, "other HTML file", "other HTML files")
        parts.append(
            f"<p>{files} in this folder cannot be read as a page of this version of "
            "spectjax and are not listed.</p>"
        )
    page = fill_page(
        "index.html",
        style=["page.css", "index.css"],
        texts={"written": next(iter(rows.values())).written},
        markup={"content": "\n".join(parts)},
    )
    write_file(folder / INDEX, page)


def _make_table(ranked: Sequence[tuple[str, Row]], again: set[str]) -> str:
    """Returns a table of pages; those whose images are all `again` say so."""
    names = ("Study", "Views", "Found", "Corrections expected", "Notes", "Model")
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = "\n".join(_make_line(name, row, again) for name, row in ranked)
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>"


def _make_line(name: str, row: Row, again: set[str]) -> str:
    """Returns the line of a page in the table."""
    notes = []
    if row.in_doubt:
        notes.append('<strong class="doubt">Crop in doubt</strong>')
    if row.passed_over:
        notes.append(
            '<strong class="doubt">'
            f"{_count(row.passed_over, 'file or view', 'files and views')} not read"
            "</strong>"
        )
    if row.warnings:
        notes.append(_count(row.warnings, "warning", "warnings"))
    if row.synthetic:
        notes.append("Synthetic")
    if again and again.issuperset(row.images):
        notes.append("its images were read again in this run")
    doubt = "not known" if row.doubt is None else f"{row.doubt:.2f}"
    # Relative, and never a scheme: what is not a letter is escaped.
    link = f'<a href="./{quote(os.fsencode(name))}">{_escape(row.title)}</a>'
    model = f"{_escape(row.model)}<small>{_escape(row.command)}, {_escape(row.written)}"
    cells = (
        f'<th scope="row">{link}</th>',
        f"<td>{_escape(', '.join(row.views))}</td>",
        f"<td>{_escape(row.found)}</td>",
        f'<td class="number">{doubt}</td>',
        f"<td>{'<br>'.join(notes)}</td>",
        f"<td>{model}</small></td>",
    )
    return f"<tr>{''.join(cells)}</tr>"


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _escape(text: str) -> str:
    return html.escape(make_printable(text))
