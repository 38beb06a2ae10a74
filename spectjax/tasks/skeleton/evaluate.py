"""Scores a model of bones on examinations that it did not learn from."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from spectjax.bones.regions import NAMES
from spectjax.bones.sheet import UNKNOWN, VIEWS
from spectjax.evaluation.batches import predict_in_batches
from spectjax.evaluation.run import FinishedRun
from spectjax.input_pipeline import Examples
from spectjax.report.data_notes import count_images, end_table
from spectjax.report.markdown import format_bounds, format_rows, format_score
from spectjax.report.picture_parts import add_caption, save_figure, show_counts
from spectjax.report.training_curves import draw_training
from spectjax.system.files import format_csv, write_file, write_json
from spectjax.tasks.skeleton.scores import (
    LEAST_PX,
    Overlaps,
    count_overlaps,
    summarise_regions,
)

_ALPHA = 0.55  # of the colours over the picture


def evaluate(run: FinishedRun) -> dict[str, Any]:
    """Scores a run and writes what a reader wants to see.

    Writes `cases.csv`, `table.md`, `figures/median.png`, the examination of median
    Dice, `figures/training.png` if there is a log, and, last, `metrics.json`.

    Raises:
        WriteError: if a file cannot be written.
    """
    examples = run.held_out
    found = np.zeros(examples.masks.shape, np.uint8)
    for rows, probs in predict_in_batches(
        run.model.predict, examples.images, batch_size=run.batch_size
    ):
        found[rows] = probs[: rows.stop - rows.start].argmax(axis=-1)
    overlaps = count_overlaps(examples.masks, found)
    regions = summarise_regions(overlaps, examples.patients)
    metrics = run.make_document("skeleton", {"regions": regions})
    write_file(run.output_dir / "cases.csv", _format_cases(examples, overlaps))
    write_file(run.output_dir / "table.md", _write_table(metrics))
    figures = {"median": _draw_median(examples, found, overlaps)}
    if run.training_log is not None:
        figures["training"] = draw_training(
            run.training_log,
            title=f"Training of {run.model_name}",
            synthetic=examples.synthetic,
        )
    for name, figure in figures.items():
        save_figure(figure, run.output_dir / "figures" / f"{name}.png")
    write_json(run.output_dir / "metrics.json", metrics)
    return metrics


def _format_cases(examples: Examples, overlaps: Overlaps) -> str:
    """Returns a row for each region that a view of an examination shows."""
    dice = overlaps.dice
    names = ("example_id", "patient", "view", "region", "dice", "true_px", "found_px")
    return format_csv(
        names,
        (
            (
                examples.example_ids[n],
                examples.patients[n],
                VIEWS[v],
                NAMES[r],
                f"{dice[n, v, r]:.4f}",
                overlaps.true[n, v, r],
                overlaps.found[n, v, r],
            )
            for n, v, r in np.argwhere(np.isfinite(dice))
        ),
    )


def _write_table(metrics: Mapping[str, Any]) -> str:
    """Returns Dice of each region in each view, as Markdown."""
    by_view = metrics["regions"]["by_view"]

    def say(view: str, name: str) -> list[str]:
        entry = by_view[view].get(name)
        if entry is None:
            return ["–"] * 3
        mean = format_score(entry["dice"]) + format_bounds(entry["interval"])
        return [mean, format_score(entry["pooled"]), str(entry["n"])]

    header = ["region"]
    for view in VIEWS:
        header += [f"{view}: Dice", "pooled", "n"]
    rows = [[name, *say("anterior", name), *say("posterior", name)] for name in NAMES]
    lines = [
        f"# Bones of the whole body: {metrics['model']}",
        "",
        f"{count_images(metrics)}. Dice is the mean over the examinations that show "
        f"{LEAST_PX} pixels of a region in that view or more, on the sheet, in "
        "brackets its 95 % interval by a bootstrap over patients; pooled, that of all "
        "their pixels together.",
        "",
        *format_rows(header, rows),
        *end_table(metrics["data"]),
    ]
    return "\n".join(lines)


def _draw_median(examples: Examples, found: np.ndarray, overlaps: Overlaps) -> Figure:
    """Returns the examination of median Dice: what is true, and what was found."""
    each = [np.nanmean(x) if np.isfinite(x).any() else -1.0 for x in overlaps.dice]
    row = int(np.argsort(each, kind="stable")[(len(each) - 1) // 2])
    figure = Figure(figsize=(11.0, 7.0), dpi=150)
    FigureCanvasAgg(figure)
    add_caption(
        figure,
        f"Median examination: {examples.example_ids[row]}",
        f"left the truth, right what was found; Dice {each[row]:.3f}",
        examples.synthetic,
    )
    colours = np.array(colormaps["gist_ncar"](np.linspace(0.05, 0.95, len(NAMES))))
    for panel, labels in enumerate((examples.masks[row], found[row])):
        axes = figure.add_axes((0.01 + 0.34 * panel, 0.05, 0.33, 0.85))
        show_counts(axes, examples.images[row, :, :, 0].astype(np.float32))
        painted = np.zeros((*labels.shape, 4))
        marked = (labels > 0) & (labels != UNKNOWN)
        painted[marked] = colours[labels[marked] - 1]
        painted[..., 3] *= _ALPHA
        height, width = labels.shape
        axes.imshow(painted, interpolation="nearest", extent=(0, width, height, 0))
    for number, (name, colour) in enumerate(zip(NAMES, colours, strict=True)):
        y = 0.88 - 0.036 * number
        figure.text(0.70, y, "\N{BLACK SQUARE}", color=tuple(colour), size=12)
        figure.text(0.72, y, name, size=9)
    return figure
