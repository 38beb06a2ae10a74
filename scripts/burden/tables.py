"""The tables and the figure of `scripts/measure_burden.py`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from scripts.burden.bars import list_bars
from scripts.burden.examinations import COARSE, LYING_AGAIN
from scripts.burden.finders import BONES, CROP, WHOLE
from scripts.burden.measures import READERS, TOLD, TRUE
from scripts.burden.statistics import GROUPS
from scripts.burden.summary import PRODUCT, TRUTH, VOLUME, Record
from spectjax.report.markdown import format_bounds, format_rows, format_score
from spectjax.system.files import format_csv

HOTSPOTS = {
    TRUE: "true hotspots",
    READERS: "hotspots of the readers",
    CROP: "hotspots found in the crop",
    WHOLE: "hotspots found in the whole body",
}
PLACES = {
    TRUE: "true bones",
    BONES: "found bones",
    TOLD: "found bones, where an index is told",
}


def name_source(who: str) -> str:
    """Returns who found hotspots and bones, in words."""
    if who == VOLUME:
        return "by volume"
    hotspots, bones = who.split("/")
    return f"{HOTSPOTS.get(hotspots, hotspots)}, {PLACES[bones]}"


def write_report(document: Mapping[str, Any]) -> str:
    """Returns all tables as Markdown."""
    patients = document["patients"]
    lines = [
        f"SIMULATED patients of the phantom's version {document['phantom']}, seed "
        f"{document['seed']}, commit {document['commit']}: {patients['burden']} of the "
        f"population `burden`; {patients['repeated']} of the same kind, of chosen "
        f"levels, scanned again; {patients['normal']} normal of `whole_body`, "
        f"{patients['normal_repeated']} of them scanned again. Indices and their "
        "differences in percent points.",
        "",
        *_tabulate_bars(document),
        *_tabulate_agreement(document["agreement"]),
        *_tabulate_doubts(document["doubts"]),
        *_tabulate_repeats(document["repeats"]),
        *_tabulate_counts(document["counts"]),
        *_tabulate_losses(document["losses"]),
        *_tabulate_false(document["false"]),
    ]
    return "\n".join(lines)


def _tabulate_bars(document: Mapping[str, Any]) -> list[str]:
    words = {True: "reached", False: "**missed**", None: "not measured yet"}
    rows = [[bar.what, bar.wanted, bar.found, words[bar.met]] for bar in
            list_bars(document)]  # fmt: skip
    return ["### Goals", "", *format_rows(["Goal", "Wanted", "Found", ""], rows)]


def _tabulate_agreement(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    def is_told(row: Mapping[str, Any]) -> bool:
        alone = row["part"] != "percent"
        of_truth = row["found"] in (TRUTH, VOLUME) and not (
            alone and row["extent"] == "thorax"
        )
        planar = row["truth"] == TRUTH and row["found"] != f"{READERS}/{BONES}"
        return of_truth or planar or row["found"] == PRODUCT.get(row["extent"])

    header = [
        *("Extent", "Index", "Truth", "n", "r", "Slope through the origin"),
        *("Slope of the regression", "Bias", "95 % limits", "Lin's concordance"),
    ]
    cells = map(_list_agreement, filter(is_told, rows))
    return ["### Agreement", "", *format_rows(header, cells)]


def _list_agreement(row: Mapping[str, Any]) -> list[str]:
    source, bounds = name_source(row["found"]), row["intervals"]
    if row["part"] != "percent":
        source += f", {row['part']} view alone"
    return [
        row["extent"],
        source,
        "volume" if row["truth"] == VOLUME else "planar",
        str(row["n"]),
        *(
            format_score(row[key], ".3f")
            + (format_bounds(bounds[key]) if key in bounds else "")
            for key in ("r", "slope_origin", "slope")
        ),
        format_score(row["bias"], "+.2f"),
        format_bounds((row["low"], row["high"]), "+.2f").strip(" ()"),
        format_score(row["concordance"], ".3f"),
    ]


def _tabulate_doubts(doubts: Mapping[str, Any]) -> list[str]:
    if not doubts["bones_by"]:
        return []
    lines = [
        f"Bones are found by: {'; '.join(doubts['bones_by'])}. A region is in doubt in "
        f"{doubts['n_in_doubt']} of {doubts['n']} patients.",
        "",
    ]
    for who, each in doubts["withheld"].items():
        rules = ", ".join(f"{rule} {n}" for rule, n in each["rules"].items())
        lines += [
            f"- {HOTSPOTS.get(who, who)}: the index is withheld in "
            f"{each['n_withheld']} of {each['n']} scans" + f" ({rules})" * bool(rules)
        ]
    lines += [f"- {n} times: {reason}" for reason, n in doubts["refused"].items()]
    return [*lines, ""]


def _tabulate_repeats(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    table: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in rows:
        # Of true hotspots and bones noise changes nothing.
        moved = row["found"] == TRUTH and row["what"] in (LYING_AGAIN, COARSE)
        if moved or row["found"] == PRODUCT[row["extent"]]:
            key = (row["extent"], name_source(row["found"]), row["what"])
            table.setdefault(key, {})[row["group"]] = _tell_group(row)
    header = ["Extent", "Index", "Repeated with", *(f"about {g} %" for g in GROUPS)]
    cells = [
        [*key, *(groups.get(group, "–") for group in GROUPS)]
        for key, groups in table.items()
    ]
    if not cells:
        return []
    what = "Mean ± SD of the differences, coefficient of variation, pairs of scans."
    return ["### Repeatability", "", what, "", *format_rows(header, cells)]


def _tell_group(row: Mapping[str, Any]) -> str:
    said = f"{format_score(row['mean'], '+.2f')} ± {_score(row['sd'], '.2f')}"
    return f"{said}, {_score(row['cv'], '.0f')} %, {row['n']}"


def _score(value: float, pattern: str) -> str:
    """Returns a score, a dash if it is not known."""
    return format_score(None if np.isnan(value) else value, pattern)


def _tabulate_counts(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    header = ["Extent", "Index", "Counts a view", "n", "Error", "Its size"]
    cells = [
        [
            row["extent"],
            name_source(row["found"]),
            f"{row['counts'] / 1e6:g} million",
            str(row["n"]),
            *(
                f"{format_score(row[mean], pattern)} ± {_score(row[sd], '.2f')}"
                for mean, sd, pattern in (
                    ("mean", "sd", "+.2f"),
                    ("mean_size", "sd_size", ".2f"),
                )
            ),
        ]
        for row in rows
        if row["found"] in (f"{TRUE}/{BONES}", PRODUCT[row["extent"]])
    ]
    title = "### Counts: errors against the planar truth"
    return [title, "", *format_rows(header, cells)] if cells else []


def _tabulate_losses(losses: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = []
    for who, each in losses.items():
        mean = each["mean"]
        lines += [
            f"### Lost: {HOTSPOTS.get(who, who)}, true bones, n = {each['n']}",
            "",
            f"Of a mean planar index of {mean['true']:.2f}, {mean['missed']:.2f} lies "
            f"in lesions that are missed and {mean['too_small']:.2f} outside of the "
            f"marks of those that are found; {mean['too_large']:.2f} is marked around "
            f"them and {mean['false']:.2f} elsewhere: {mean['found']:.2f} is found.",
            "",
        ]
        for title, key in (("Contrast", "by_contrast"), ("Bone", "by_region")):
            header = [title, "Lesions in views", "Found", "Share of the burden"]
            header += ["Of it missed", "Of it not outlined"]
            total = sum(part["burden"] for part in each[key].values())
            cells = [
                [
                    name,
                    str(part["n"]),
                    f"{100 * part['n_hit'] / part['n']:.0f} %",
                    _share(part["burden"], total),
                    _share(part["missed"], part["burden"]),
                    _share(part["not_outlined"], part["burden"]),
                ]
                for name, part in each[key].items()
            ]
            lines += format_rows(header, cells)
    return lines


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "–"


def _tabulate_false(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    header = ["Hotspots", "Normal patients", "False regions each", "Marked at all"]
    header += ["Mean index", "Highest"]
    cells = [
        [
            HOTSPOTS.get(who, who),
            str(row["n"]),
            f"{row['per_body']:.2f}",
            str(row["bodies_marked"]),
            f"{row['mean_index']:.3f}",
            f"{row['highest_index']:.3f}",
        ]
        for who, row in rows.items()
    ]
    title = "### Normal whole bodies (both views)"
    return [title, "", *format_rows(header, cells)] if cells else []


def write_scans(records: Sequence[Record]) -> str:
    """Returns a line for each scan, as CSV."""
    extents = ("whole body", "thorax")
    scans = [(r, scan) for r in records for scan in r["scans"].values()]
    found = list(dict.fromkeys(who for _, scan in scans for who in scan["indices"]))
    names = ["group", "patient", "scan", "counts_anterior", "counts_posterior"]
    names += ["spacing_mm", *(f"volume, {extent}" for extent in extents)]
    names += [f"{who}, {extent}" for who in found for extent in extents]
    rows = [
        [
            record["group"],
            record["number"],
            scan["name"],
            *scan["counts"].values(),
            scan["spacing_mm"][0],
            *(scan[VOLUME][extent] for extent in extents),
            *(
                scan["indices"].get(who, {}).get(extent, {}).get("percent")
                for who in found
                for extent in extents
            ),
            "; ".join(scan["doubts"]),
        ]
        for record, scan in scans
    ]
    return format_csv([*names, "regions_in_doubt"], rows)
