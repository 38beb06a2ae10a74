"""What a follow-up leaves: a document, a table, a picture, and lines for a terminal."""

import pathlib
from collections.abc import Iterator
from typing import Any

from spectjax.bones.burden import LEAST_COUNTS
from spectjax.bones.matching import AREA_FACTOR, NEAR_MM
from spectjax.follow_up.comparison import FAINT, FollowUp, Found
from spectjax.follow_up.studies import name_study
from spectjax.imaging.problems import Problems, drop_folders
from spectjax.system.files import format_csv, write_file, write_json
from spectjax.system.messages import DISCLAIMER, make_printable
from spectjax.tasks.views import Reading, list_warnings

NAME = "follow_up"  # of all files, but for the suffix
STATEMENT = (
    "What is marked is abnormal uptake, whatever its cause. Each view is compared with "
    "the same view: what both views show is listed twice."
)
_METHOD = (
    f"places are carried between the studies by the bones around them; hotspots are "
    f"the same that overlap then, or lie within {NEAR_MM:g} mm, in one region or in "
    f"two that meet; larger and smaller: by more than {AREA_FACTOR:g} times, beyond "
    "what 95 % of repeated scans of simulated patients show"
)
_COLUMNS = (
    *("number", "view", "region", "kind", "hotspots_before", "hotspots_after"),
    *("area_before_mm2", "area_after_mm2", "growth", "why", "same_patient"),
)


def write_follow_up(
    follow_up: FollowUp, output_dir: pathlib.Path, problems: Problems
) -> None:
    """Writes table, picture and document, the document last, and tells of them.

    Raises:
        WriteError: if a file cannot be written.
    """
    # Here, since matplotlib takes a third of a second.
    from spectjax.follow_up.picture import draw_follow_up
    from spectjax.report.picture_parts import save_figure

    rows = (_list_cells(each, follow_up) for each in follow_up.found)
    write_file(output_dir / f"{NAME}.csv", format_csv(_COLUMNS, rows))
    save_figure(draw_follow_up(follow_up), output_dir / f"{NAME}.png")
    write_json(output_dir / f"{NAME}.json", describe(follow_up, problems))
    for line in list_lines(follow_up):
        print(make_printable(line))
    print(f"Written to {output_dir}. {DISCLAIMER}")


def list_lines(follow_up: FollowUp) -> Iterator[str]:
    """Yields what there is to tell, a line each."""
    relation = follow_up.relation
    between = "" if relation.days is None else f", {relation.days} days apart"
    yield (
        f"{name_study(follow_up.before)} -> {name_study(follow_up.after)}{between}; "
        f"one patient by {relation.same_patient}."
    )
    yield from (f"WARNING: {warning}" for warning in follow_up.warnings)
    yield from (each.sentence for each in follow_up.found)
    yield tell_sum(follow_up)
    yield follow_up.index.sentence


def tell_sum(follow_up: FollowUp) -> str:
    """Returns how many changes there are of each kind, in one line."""
    counted = ", ".join(f"{n} {kind}" for kind, n in follow_up.kinds.items())
    if counted:
        return f"Hotspots of both views: {counted}."
    return "No hotspot is marked in either study: that is no statement about lesions."


def describe(follow_up: FollowUp, problems: Problems) -> dict[str, Any]:
    """Returns the document, ready for JSON; no identifier and no date is in it."""
    folders = {
        view.thorax.scan.path.parent
        for reading in (follow_up.before, follow_up.after)
        for view, _ in reading.views
    }
    relation, index = follow_up.relation, follow_up.index
    return {
        "statement": STATEMENT,
        "method": _METHOD,
        "same_patient": relation.same_patient,
        "days_between": relation.days,
        "warnings": follow_up.warnings,
        "model": follow_up.model,
        "limits": {
            "near_mm": NEAR_MM,
            "area_factor": AREA_FACTOR,
            "faint": FAINT,
            "least_counts": LEAST_COUNTS,
        },
        "before": _describe_study(follow_up.before, follow_up),
        "after": _describe_study(follow_up.after, follow_up),
        "changes": [_describe_change(each) for each in follow_up.found],
        "kinds": follow_up.kinds,
        "index": {
            "name": index.title,
            "percent_before": index.percents and index.percents[0],
            "percent_after": index.percents and index.percents[1],
            "beyond_repeated_scan": index.beyond,
            "sentence": index.sentence,
            "withheld": index.withheld,
        },
        "passed_over": drop_folders(problems.told, folders),
        "disclaimer": DISCLAIMER,
    }


def _describe_study(reading: Reading, follow_up: FollowUp) -> dict[str, Any]:
    """Returns what each view of a study is and holds, and its index."""
    return {
        "views": {
            view.thorax.scan.view: {
                "source": view.thorax.scan.to_json(),
                "warnings": list_warnings(view, follow_up.model),
                "crop": {
                    "box": view.thorax.transform.box,
                    "flags": view.thorax.flags,
                },
                "bones": said.document["bones"],
                "hotspots": said.document["hotspots"],
            }
            for view, said in reading.views
        },
        "index": reading.burden and reading.burden.to_json(),
    }


def _describe_change(each: Found) -> dict[str, Any]:
    """Returns a change; hotspots are numbered from 1 as their view's document does."""
    change = each.change
    return {
        "number": each.number,
        "view": each.view,
        "region": change.region or None,
        "kind": change.kind,
        "hotspots_before": [i + 1 for i in change.before],
        "hotspots_after": [i + 1 for i in change.after],
        "area_before_mm2": each.areas[0],
        "area_after_mm2": each.areas[1],
        "growth": change.growth,
        "why": change.why or None,
    }


def _list_cells(each: Found, follow_up: FollowUp) -> tuple[Any, ...]:
    """Returns a row of the table; what is not known is an empty cell."""
    cells = _describe_change(each)
    cells |= {
        name: " ".join(map(str, cells[name]))
        for name in ("hotspots_before", "hotspots_after")
    }
    cells["same_patient"] = follow_up.relation.same_patient
    return tuple("" if cells[name] is None else cells[name] for name in _COLUMNS)
