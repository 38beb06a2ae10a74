"""The tables and the figure of `scripts/measure_burden.py`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scripts.burden.examinations import FIRST
from scripts.burden.finders import BONES, CROP, WHOLE
from scripts.burden.measures import READERS, TOLD, TRUE
from scripts.burden.summary import PRODUCT, TRUTH, VOLUME, Record, pick
from spectjax.report.curves import PALETTE
from spectjax.report.markdown import format_bounds, format_rows, format_score
from spectjax.report.picture_parts import add_caption
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
        f"SIMULATED patients of the phantom's version {document['phantom']}: "
        f"{patients['burden']} of the population `burden`, {patients['normal']} normal "
        f"of `whole_body`, {patients['repeated']} of all scanned again; seed "
        f"{document['seed']}, commit {document['commit']}. Indices and their "
        "differences in percent points.",
        "",
        *_tabulate_agreement(document["agreement"]),
        *_tabulate_doubts(document["doubts"]),
        *_tabulate_repeats(document["repeats"]),
        *_tabulate_counts(document["counts"]),
        *_tabulate_losses(document["losses"]),
        *_tabulate_false(document["false"]),
    ]
    return "\n".join(lines)


def _tabulate_agreement(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    def fill(row: Mapping[str, Any]) -> list[str]:
        source = name_source(row["found"])
        if row["part"] != "percent":
            source += f", {row['part']} view alone"
        if row["without_doubts"]:
            source += ", no region in doubt"
        truth = "volume" if row["truth"] == VOLUME else "planar"
        bounds = row["intervals"]
        return [
            row["extent"],
            source,
            truth,
            str(row["n"]),
            *(
                format_score(row[key], ".3f") + format_bounds(bounds[key])
                if key in bounds
                else format_score(row[key], ".3f")
                for key in ("r", "slope_origin", "slope")
            ),
            format_score(row["bias"], "+.2f"),
            format_bounds((row["low"], row["high"]), "+.2f").strip(" ()"),
            format_score(row["concordance"], ".3f"),
        ]

    header = [
        *("Extent", "Index", "Truth", "n", "r", "Slope through the origin"),
        *("Slope of the regression", "Bias", "95 % limits", "Lin's concordance"),
    ]
    return ["## Agreement", "", *format_rows(header, map(fill, rows))]


def _tabulate_doubts(doubts: Mapping[str, Any]) -> list[str]:
    said = f"A region is in doubt in {doubts['n_in_doubt']} of {doubts['n']} scans"
    regions = ", ".join(f"{name} {n}" for name, n in doubts["regions"].items())
    lines = [f"{said}: {regions}." if regions else f"{said}.", ""]
    for who, each in doubts["withheld"].items():
        rules = ", ".join(f"{rule} {n}" for rule, n in each["rules"].items())
        lines += [
            f"- {HOTSPOTS.get(who, who)}: the index is withheld in "
            f"{each['n_withheld']} of {each['n']} scans" + f" ({rules})" * bool(rules)
        ]
    lines += [f"- {n} times: {reason}" for reason, n in doubts["refused"].items()]
    return [*lines, ""]


def _tabulate_repeats(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    header = ["Extent", "Index", "Repeated with", "Level", "n", "Mean index"]
    header += ["Mean difference", "SD", "CV, %"]
    cells = [
        [
            row["extent"],
            name_source(row["found"]),
            row["what"],
            row["group"],
            str(row["n"]),
            f"{row['level']:.2f}",
            *(
                format_score(row[key], pattern) if np.isfinite(row[key]) else "–"
                for key, pattern in (("mean", "+.3f"), ("sd", ".3f"), ("cv", ".1f"))
            ),
        ]
        for row in rows
    ]
    return ["## Repeatability", "", *format_rows(header, cells)] if cells else []


def _tabulate_counts(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    header = ["Extent", "Index", "Counts a view", "n", "Error", "Its size"]
    cells = [
        [
            row["extent"],
            name_source(row["found"]),
            f"{row['counts'] / 1e6:g} million",
            str(row["n"]),
            f"{format_score(row['mean'], '+.2f')} ± {row['sd']:.2f}",
            f"{row['mean_size']:.2f} ± {row['sd_size']:.2f}",
        ]
        for row in rows
    ]
    title = "## Counts: errors against the planar truth"
    return [title, "", *format_rows(header, cells)] if cells else []


def _tabulate_losses(losses: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = []
    for who, each in losses.items():
        mean = each["mean"]
        lines += [
            f"## Lost: {HOTSPOTS.get(who, who)}, true bones, n = {each['n']}",
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
    title = "## Normal whole bodies (both views)"
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


def draw_agreement(records: Sequence[Record], document: Mapping[str, Any]) -> Figure:
    """Draws the index of the whole body over the planar truth, and the differences.

    It is that of found hotspots and bones, or the nearest to it that was measured.
    """
    ways = (PRODUCT["whole body"], f"{WHOLE}/{TRUE}", f"{TRUE}/{BONES}", TRUTH)
    known = {row["found"] for row in document["agreement"]}
    who = next(way for way in ways if way in known)
    truth = VOLUME if who == TRUTH else TRUTH
    row = next(
        row
        for row in document["agreement"]
        if (row["found"], row["truth"], row["extent"], row["part"])
        == (who, truth, "whole body", "percent")
    )
    records = [record for record in records if record["group"] == "burden"]
    x, y = (np.array(pick(records, FIRST, each, "whole body")) for each in (truth, who))
    figure = Figure(figsize=(9.0, 4.4), dpi=110)
    left, right = figure.subplots(1, 2)
    top = float(np.nanmax([x, y]) * 1.05)
    left.plot([0, top], [0, top], color="0.6", linewidth=0.8)
    left.scatter(x, y, s=12, color=PALETTE[0], linewidth=0, alpha=0.7)
    left.set_title(f"r {row['r']:.3f}, slope {row['slope_origin']:.2f}", size=10)
    _finish(left, "True index, percent", "Measured index, percent")
    right.scatter((x + y) / 2, y - x, s=12, color=PALETTE[0], linewidth=0, alpha=0.7)
    for key, style in (("bias", "-"), ("low", "--"), ("high", "--")):
        right.axhline(row[key], color="0.2", linewidth=1, linestyle=style)
    limits = f"{row['low']:+.2f} to {row['high']:+.2f}"
    right.set_title(f"bias {row['bias']:+.2f}, 95 % limits {limits}", size=10)
    _finish(right, "Mean of both, percent", "Measured − true, points")
    figure.subplots_adjust(left=0.08, right=0.98, bottom=0.2, top=0.78, wspace=0.28)
    truth_name = "truth by volume" if truth == VOLUME else "planar truth"
    subtitle = f"{row['n']} patients, {name_source(who)}, against the {truth_name}"
    add_caption(figure, "Planar bone scan index", subtitle, True)
    return figure


def _finish(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
