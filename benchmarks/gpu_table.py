"""What `benchmarks.check_gpu` found, as a table for people."""

import pathlib
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.gpu_plan import AS_IT_COMES, BFLOAT16, EXACT, MODELS
from benchmarks.table import lay_out, or_dash

# Exact products differ from a CPU's by rounding alone, which steps magnify.
_LIMITS = {"first loss": 1e-4, "gradient": 1e-3, "prediction": 1e-3}
_BFLOAT16_TIMES, _BFLOAT16_LEAST = 10, 1e-2
_BFLOAT16_THERE = f"{BFLOAT16} of the CPU"
_NOTES = (
    "outputs: largest difference from a CPU's float32 over the largest value there; of "
    "gradients, norm of the difference over the norm. losses: all of the steps.",
    "images/s: median of dispatches, then smallest and largest. of peak: operations of "
    "convolutions and products over those of the fastest matrix product of its type. "
    "times torch: median of the ratios to the fastest PyTorch row, taken in turns.",
    "busy: kernels' milliseconds over those of a step that is not traced. MB: the most "
    "that the allocator gave, which includes what JAX tried at compiling on a GPU. "
    "compile s: none where a part before it had compiled the same program.",
)
_COSTS = ("ms/step", "images/s", "range", "of peak", "compile s", "MB")


def locate(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Returns the folder of the part `name` of a run in `folder`."""
    return folder / name.replace(" ", "_").replace("/", "_").replace(":", "_")


def compare_outputs(
    folder: pathlib.Path, reference: pathlib.Path
) -> list[dict[str, Any]]:
    """Returns how far what was computed is from what a CPU computes.

    Args:
        folder: of the run; of a part that was ended, what it had written counts.
        reference: of the run that has what a CPU computes.

    Returns:
        For each model and way its differences by name; pmap is compared with jit.
    """
    rows = []
    for name in MODELS:
        there = locate(reference, f"reference {name}")
        expected = there / f"{EXACT}.npz"
        if not expected.exists():
            continue
        typed = locate(folder, f"types {name}")
        files = {
            EXACT: locate(folder, f"outputs {name}") / f"{EXACT}.npz",
            AS_IT_COMES: typed / f"{AS_IT_COMES}.npz",
            BFLOAT16: typed / f"{BFLOAT16}.npz",
            _BFLOAT16_THERE: there / f"{BFLOAT16}.npz",
        }
        for way, file in files.items():
            if file.exists():
                rows.append({"name": name, "way": way, **_compare(expected, file)})
    one, other = (
        locate(folder, part) / f"{EXACT}.npz" for part in ("outputs unet", "types pmap")
    )
    if one.exists() and other.exists():
        rows.append({"name": "unet, pmap", "way": "as by jit", **_compare(one, other)})
    return rows


def _compare(expected: pathlib.Path, found: pathlib.Path) -> dict[str, Any]:
    with np.load(expected) as there, np.load(found) as here:
        a = {name: there[name] for name in there}
        b = {name: here[name] for name in here}
    differences: dict[str, Any] = {
        "finite": all(bool(np.isfinite(x).all()) for x in b.values()),
        "prediction": _differ(a["prediction"], b["prediction"]),
    }
    if "losses" in a:
        norm = np.linalg.norm(a["gradient"] - b["gradient"])
        differences |= {
            "first loss": _differ(a["losses"][:1], b["losses"][:1]),
            "gradient": float(norm / np.linalg.norm(a["gradient"])),
            "losses": _differ(a["losses"], b["losses"]),
        }
    return differences


def _differ(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max() / max(float(np.abs(a).max()), 1e-9))


def find_faults(outputs: Iterable[Mapping[str, Any]]) -> list[str]:
    """Returns which results are not those of a CPU, and which are not finite.

    Exact ones have limits. Those in bfloat16 may differ from exact ones ten times as
    much as a CPU's do, or by 1 %.
    """
    outputs = list(outputs)
    there = {row["name"]: row for row in outputs if row["way"] == _BFLOAT16_THERE}
    faults = []
    for row in outputs:
        title = f"{row['name']}, {row['way']}"
        if not row["finite"]:
            faults.append(f"{title}: not finite")
        limits = _LIMITS if row["way"] == EXACT else {}
        if row["way"] == BFLOAT16 and row["name"] in there:
            expected = there[row["name"]]
            limits = {
                name: max(_BFLOAT16_TIMES * expected[name], _BFLOAT16_LEAST)
                for name in _LIMITS
                if name in expected
            }
        for name, limit in limits.items():
            # A NaN is above each limit.
            if name in row and not row[name] <= limit:
                faults.append(f"{title}: {name} differs by {row[name]:.1e}")
    return faults


def format_results(document: Mapping[str, Any]) -> str:
    """Returns Markdown with all that a run found."""
    parts = document["parts"]
    done = {part["name"]: part["facts"] for part in parts if part["status"] == "done"}
    card = done.get("card") or {}
    faults = find_faults(document["outputs"])
    facts = {
        "device": card.get("device", "not described"),
        "driver": card.get("driver", "–"),
        "versions": ", ".join(f"{n} {v}" for n, v in card.get("versions", {}).items()),
        "commit": document["commit"],
        "matrix products, TFLOP/s": ", ".join(
            f"{name} {rate:.4g}" for name, rate in card.get("products", {}).items()
        ),
        "copy": f"{card['copy']:.4g} GB/s" if card else "–",
        "outputs that are not a CPU's": "; ".join(faults)
        or ("none of those below" if document["outputs"] else "none was compared"),
        "not run": ", ".join(document["left_out"]) or "nothing",
    }
    sections = [
        lay_out(
            "Parts",
            facts,
            ("part", "status", "s"),
            [(p["name"], p["status"], f"{p['wall_s']:.0f}") for p in parts],
            _NOTES,
            words=2,
        ),
        _format_outputs(document["outputs"]),
        _format_speeds(parts, card.get("products", {})),
        _format_turns(parts, card.get("products", {})),
        *(_format_longest(part) for part in parts if _is_traced(part)),
        *(_format_product(part) for part in parts if _is_product(part)),
    ]
    said = [f"## {p['name']}\n\n```\n{p['said']}\n```\n" for p in parts if p["said"]]
    return "\n".join(section for section in [*sections, *said] if section)


def _is_traced(part: Mapping[str, Any]) -> bool:
    facts = part["facts"] or {}
    return bool(facts.get("trace", {}).get("longest"))


def _is_product(part: Mapping[str, Any]) -> bool:
    return part["kind"] == "product" and part["status"] == "done"


def _format_outputs(rows: Sequence[Mapping[str, Any]]) -> str:
    names = ("first loss", "gradient", "losses", "prediction")
    cells = [
        (row["name"], row["way"], *(or_dash(row.get(name), ".1e") for name in names))
        for row in rows
    ]
    if not cells:
        return ""
    return lay_out("Outputs", {}, ("model", "way", *names), cells, (), words=2)


def _format_speeds(
    parts: Iterable[Mapping[str, Any]], products: Mapping[str, float]
) -> str:
    rows = []
    for part in parts:
        if part["kind"] != "speed" or part["status"] != "done":
            continue
        facts, traced = part["facts"], part["facts"]["trace"]
        # Less what the profiler itself takes.
        typical = statistics.median(facts["seconds"])
        kernels, kernels_ms = (
            traced.get(key) or None for key in ("kernels", "busy_ms")
        )
        busy = kernels_ms and kernels_ms / 1e3 / typical
        peak = products.get(part["request"]["request"]["dtype"])
        rows.append(
            (
                part["name"].removeprefix("speed "),
                *_format_costs(facts, peak),
                or_dash(kernels, ".0f"),
                or_dash(kernels_ms, ".2f"),
                or_dash(busy, ".0%"),
            )
        )
    if not rows:
        return ""
    head = ("what", *_COSTS, "kernels/step", "their ms", "busy")
    return lay_out("Speed", {}, head, rows, (), words=1)


def _format_costs(facts: Mapping[str, Any], peak: float | None) -> tuple[str, ...]:
    """Returns the texts of `_COSTS`; `peak` are TFLOP/s of a matrix product."""
    flops, typical = facts.get("flops"), statistics.median(facts["seconds"])
    rates = [facts["batch_size"] / seconds for seconds in facts["seconds"]]
    return (
        f"{1e3 * typical:.2f}",
        f"{statistics.median(rates):.4g}",
        f"{min(rates):.4g}–{max(rates):.4g} ({len(rates)})",
        or_dash(flops and peak and flops / typical / peak / 1e12, ".0%"),
        f"{facts['compile_s']:.0f}",
        f"{facts['peak_bytes'] / 1e6:.0f}",
    )


def _format_turns(
    parts: Iterable[Mapping[str, Any]], products: Mapping[str, float]
) -> str:
    rows, notes = [], []
    for part in parts:
        if part["kind"] == "beside_torch" and part["status"] == "done":
            title = part["name"].removeprefix("torch ")
            peak = products.get(part["request"]["dtype"])
            for row in part["facts"]["rows"]:
                times = or_dash(row["times_torch"], ".2f")
                rows.append((title, row["by"], times, *_format_costs(row, peak)))
            notes += [f"{title}: {note}" for note in part["facts"]["notes"]]
    if not rows:
        return ""
    head = ("what", "by", "times torch", *_COSTS)
    return lay_out("Beside PyTorch", {}, head, rows, notes, words=2)


def _format_product(part: Mapping[str, Any]) -> str:
    facts = part["facts"]
    told = {name: f"{facts[name]:.1f}" for name in ("seconds", "seconds_again")}
    head = ("what", "value")
    rows = [*facts["last_epoch"].items(), *facts["scores"].items()]
    cells = [(name, or_dash(value, ".4g")) for name, value in rows]
    return lay_out(part["name"], told, head, cells, (), words=1)


def _format_longest(part: Mapping[str, Any]) -> str:
    rows = [
        (f"`{row['name']}`", f"{row['count']:.0f}", f"{row['ms']:.3f}")
        for row in part["facts"]["trace"]["longest"]
    ]
    head = ("kernel", "a step", "ms a step")
    return lay_out(f"Kernels of {part['name']}", {}, head, rows, (), words=1)
