"""What many patients say together, of the records that `measures` makes of their scans.

A record is one patient's: "group", "number" and "scans", by name.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from scripts.burden.examinations import (
    AGAIN,
    BURDEN,
    COUNTS,
    FIRST,
    NORMALS,
    REPEATED,
    name_counts,
)
from scripts.burden.finders import BONES, CROP, WHOLE
from scripts.burden.measures import TRUE
from scripts.burden.statistics import (
    describe_agreement,
    describe_errors,
    describe_repeats,
)
from spectjax.bones.regions import REGIONS
from spectjax.bones.repeatability import Extent

Record = Mapping[str, Any]
TRUTH = f"{TRUE}/{TRUE}"
VOLUME = "volume"
# Whose index is told of what was read.
PRODUCT: dict[Extent, str] = {
    "whole body": f"{WHOLE}/{BONES}",
    "thorax": f"{CROP}/{BONES}",
}
# Of a group: the scatter of fewer says little.
LEAST_PAIRS = 5
# Upper ends of the contrasts of lesions; readers see few of less than 1.5.
CONTRASTS = (1.5, 2.0, 3.0, 5.0, np.inf)


def pick(
    records: Iterable[Record], scan: str, who: str, extent: str, part: str = "percent"
) -> list[float]:
    """Returns an index of each patient, NaN where it is not known.

    Args:
        records: the patients.
        scan: the name of the scan.
        who: found hotspots and bones, or `VOLUME` for the true index in space.
        extent: of the index.
        part: of it: "percent" or a view.
    """
    return [_pick(record["scans"].get(scan), who, extent, part) for record in records]


def _pick(scan: Any, who: str, extent: str, part: str) -> float:
    if scan is None:
        return float("nan")
    if who == VOLUME:
        return float(scan[VOLUME][extent])
    value = scan["indices"].get(who, {}).get(extent, {}).get(part)
    return float("nan") if value is None else float(value)


def list_combinations(records: Sequence[Record]) -> list[str]:
    """Returns who found hotspots and bones in the first scans, the truth first."""
    found = {who: None for r in records for who in r["scans"][FIRST]["indices"]}
    return list(found)


def summarise(records: Sequence[Record]) -> dict[str, Any]:
    """Returns all tables, for JSON."""
    burdened = [record for record in records if record["group"] == BURDEN]
    repeated = [record for record in records if record["group"] == REPEATED]
    return {
        "agreement": list_agreements(burdened),
        "doubts": list_doubts(burdened),
        "repeats": list_repeats(records),
        "counts": list_count_errors(repeated),
        "losses": list_losses(burdened),
        "false": list_false(records),
    }


def list_agreements(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Returns how the indices of first scans agree with the planar truth and others."""
    patients = [str(record["number"]) for record in records]

    def compare(extent: str, who: str, truth: str, part: str = "percent") -> None:
        found = pick(records, FIRST, who, extent, part)
        if np.isfinite(found).any():
            true = pick(records, FIRST, truth, extent)
            row = {"extent": extent, "found": who, "part": part, "truth": truth}
            rows.append(row | describe_agreement(true, found, patients))

    rows: list[dict[str, Any]] = []
    for extent in ("whole body", "thorax"):
        for part in ("percent", "anterior", "posterior"):
            compare(extent, TRUTH, VOLUME, part)
        for who in list_combinations(records):
            if who != TRUTH:
                compare(extent, who, TRUTH)
                compare(extent, who, VOLUME)
    row = {"extent": "thorax for whole body", "found": VOLUME, "part": "percent"}
    whole, thorax = (
        pick(records, FIRST, VOLUME, each) for each in ("whole body", "thorax")
    )
    row |= {"truth": VOLUME, **describe_agreement(whole, thorax, patients)}
    return [*rows, row]


def list_doubts(records: Sequence[Record]) -> dict[str, Any]:
    """Returns in how many first scans a region is in doubt or an index withheld."""
    scans = [record["scans"][FIRST] for record in records]
    doubts = [doubt for scan in scans for doubt in scan["doubts"]]
    refused = [reason for scan in scans for reason in scan["refused"].values()]
    return {
        "n": len(scans),
        "bones_by": sorted({who for scan in scans for who in scan["bones_by"]}),
        "n_in_doubt": sum(bool(scan["doubts"]) for scan in scans),
        "regions": {name: doubts.count(name) for name in sorted(set(doubts))},
        "withheld": {
            who: _count_withheld([scan["withheld"].get(who) for scan in scans])
            for who in dict.fromkeys(who for scan in scans for who in scan["withheld"])
        },
        "refused": {reason: refused.count(reason) for reason in sorted(set(refused))},
    }


def _count_withheld(scans: Sequence[list[str] | None]) -> dict[str, Any]:
    known = [rules for rules in scans if rules is not None]
    rules = [rule for each in known for rule in each]
    return {
        "n": len(known),
        "n_withheld": sum(bool(each) for each in known),
        "rules": {rule: rules.count(rule) for rule in sorted(set(rules))},
    }


def list_repeats(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Returns the repeatability of each index, by what was repeated."""
    pairs = {
        f"{counts} counts": (name_counts(counts, FIRST), name_counts(counts, AGAIN))
        for counts in COUNTS
    }
    apart = {FIRST, *(name for pair in pairs.values() for name in pair)}
    named = {n: (FIRST, n) for r in records for n in r["scans"] if n not in apart}
    named |= pairs
    rows = []
    for who in list_combinations(records):
        for extent in ("whole body", "thorax"):
            for what, (before, after) in named.items():
                groups = describe_repeats(
                    pick(records, before, who, extent),
                    pick(records, after, who, extent),
                )
                row = {"found": who, "extent": extent, "what": what}
                rows += [row | group for group in groups]
    return rows


def list_count_errors(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Returns the errors of each index at each count level, of its own planar truth."""
    rows = []
    for who in list_combinations(records):
        for extent in ("whole body", "thorax"):
            for counts in COUNTS:
                scan = name_counts(counts, FIRST)
                errors = describe_errors(
                    pick(records, scan, TRUTH, extent), pick(records, scan, who, extent)
                )
                if errors["n"] and who != TRUTH:
                    row = {"found": who, "extent": extent, "counts": counts}
                    rows.append(row | errors)
    return rows


def list_losses(records: Sequence[Record]) -> dict[str, Any]:
    """Returns what becomes of the planar truth in first scans, with true bones."""
    result = {}
    kinds = {bone: region.kind for region in REGIONS for bone in region.bones}
    for who in _find_detectors(records):
        losses = [r["scans"][FIRST]["losses"][who] for r in records]
        # Those without burden lie in no bone that counts.
        lesions = [x for loss in losses for x in loss["lesions"] if x["burden"] > 0]
        edges = (0.0, *CONTRASTS)
        contrasts = {
            _name_range(low, high): [
                each for each in lesions if low <= each["contrast"] < high
            ]
            for low, high in zip(edges, CONTRASTS, strict=False)
        }
        regions = {
            kind: [each for each in lesions if kinds[each["site"]] == kind]
            for kind in dict.fromkeys(kinds.values())
        }
        result[who] = {
            "n": len(losses),
            "mean": {
                name: float(np.mean([loss[name] for loss in losses]))
                for name in losses[0]
                if isinstance(losses[0][name], float)
            },
            "by_contrast": {key: _add(part) for key, part in contrasts.items() if part},
            "by_region": {key: _add(part) for key, part in regions.items() if part},
        }
    return result


def list_false(records: Sequence[Record]) -> dict[str, Any]:
    """Returns the marked regions of normal patients' first scans; all are false."""
    normal = [record for record in records if record["group"] == NORMALS]
    result = {}
    for who in _find_detectors(normal):
        counts = [
            list(record["scans"][FIRST]["losses"][who]["false_regions"].values())
            for record in normal
        ]
        added = [record["scans"][FIRST]["losses"][who]["false"] for record in normal]
        result[who] = {
            "n": len(counts),
            "per_body": float(np.mean(np.sum(counts, axis=1))),
            "bodies_marked": int(np.count_nonzero(np.sum(counts, axis=1))),
            "mean_index": float(np.mean(added)),
            "highest_index": float(np.max(added)),
        }
    return result


def make_table(
    records: Sequence[Record], measured: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the table of `spectjax.bones.repeatability`, of what was measured.

    Nothing is written of an extent that no model was asked about.
    """
    extents = {}
    for extent, who in PRODUCT.items():
        rows = []
        for counts in COUNTS:
            groups = describe_repeats(
                pick(records, name_counts(counts, FIRST), who, extent),
                pick(records, name_counts(counts, AGAIN), who, extent),
            )
            groups = [each for each in groups if each["n"] >= LEAST_PAIRS]
            # Where nothing scattered at all, too few were scanned to say how much.
            some = [each for each in groups if each["rms"] > 0]
            lowest = min((each["lowest"] for each in groups), default=0.0)
            for place, each in enumerate(some):
                low = lowest if place == 0 else each["lowest"]
                row = {"counts": counts, "level": each["level"], "sd": each["rms"]}
                row |= {"lowest": low, "highest": each["highest"]}
                rows.append({key: round(x, 4) for key, x in row.items()})
                rows[-1]["n"] = each["n"]
        extents[extent] = rows
    return {"measured": dict(measured), "extents": extents}


def _find_detectors(records: Sequence[Record]) -> list[str]:
    found = {who: None for r in records for who in r["scans"][FIRST]["losses"]}
    return list(found)


def _name_range(low: float, high: float) -> str:
    if not np.isfinite(high):
        return f"{low:g} and more"
    return f"below {high:g}" if low == 0 else f"{low:g} to {high:g}"


def _add(lesions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    burden = sum(each["burden"] for each in lesions)
    missed = sum(each["burden"] for each in lesions if not each["hit"])
    lost = sum(each["lost"] for each in lesions)
    return {
        "n": len(lesions),
        "n_hit": sum(each["hit"] for each in lesions),
        "burden": burden,
        "missed": missed,
        "not_outlined": lost - missed,
    }
